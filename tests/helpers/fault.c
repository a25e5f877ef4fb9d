/* tests/helpers/fault.c -- see the header.  The real functions are weak, so that programs
 * without --wrap link this file, too, and never call it. */
#include "tests/helpers/fault.h"
#include <assert.h>
#include <stddef.h>

void *__real_malloc(size_t n) __attribute__((weak));
void *__real_calloc(size_t n, size_t size) __attribute__((weak));
void *__real_realloc(void *p, size_t n) __attribute__((weak));
char *__real_strdup(const char *text) __attribute__((weak));
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *text);

static _Thread_local unsigned left;
static _Thread_local bool fired;

void fault_arm(unsigned nth)
{
    left = nth;
    if (nth)
        fired = false;
}

bool fault_fired(void)
{
    return fired;
}

bool fault_next(unsigned *nth)
{
    if (*nth > 0 && !fired)
        return false;
    assert(*nth < 100000); /* an operation of ours needs far less: it must be failing for good */
    fault_arm(++*nth);
    return true;
}

static bool fails(void)
{
    if (left == 0 || --left > 0)
        return false;
    fired = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}
