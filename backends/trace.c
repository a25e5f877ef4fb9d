/* backends/trace.c -- see trace.h. */
#include "backends/trace.h"
#include <stdarg.h>
#include <stdio.h>

const char *trace_step_name(enum trace_step s)
{
    static const char *const names[TRACE_STEPS] = {
        [TRACE_RESOLVE] = "resolve",     [TRACE_CONNECT] = "connect", [TRACE_TLS] = "tls",
        [TRACE_HANDSHAKE] = "handshake", [TRACE_SIGN] = "sign",       [TRACE_ANSWER] = "answer",
        [TRACE_USAGE] = "usage",
    };
    return names[s];
}

/* Names in certificates and what a worker calls itself are the other side's choice. */
__attribute__((format(printf, 4, 0))) static void note(struct trace_note *n,
                                                       enum trace_result result, const char *hint,
                                                       const char *fmt, va_list args)
{
    n->result = result;
    n->hint = hint;
    vsnprintf(n->text, sizeof n->text, fmt, args);
    for (char *p = n->text; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
}

void trace_ok(struct trace *t, enum trace_step s, const char *fmt, ...)
{
    va_list args;
    if (!t)
        return;
    va_start(args, fmt);
    note(&t->step[s], TRACE_OK, NULL, fmt, args);
    va_end(args);
}

void trace_failed(struct trace *t, enum trace_step s, const char *hint, const char *fmt, ...)
{
    va_list args;
    if (!t)
        return;
    va_start(args, fmt);
    note(&t->step[s], TRACE_FAILED, hint, fmt, args);
    va_end(args);
}

enum trace_step trace_failure(const struct trace *t)
{
    enum trace_step s = 0;
    while (s < TRACE_STEPS && t->step[s].result != TRACE_FAILED)
        s++;
    return s;
}
