/* backends/refworker/fault.c -- filling in a refusal. */
#include "backends/refworker/fault.h"
#include <stdarg.h>
#include <stdio.h>

bool fault_set(struct fault *f, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    f->code = 400;
    vsnprintf(f->text, sizeof f->text, fmt, args);
    va_end(args);
    return false;
}

bool fault_no_memory(struct fault *f)
{
    fault_set(f, "the reference worker is out of memory");
    f->code = 500;
    return false;
}
