/* backends/refworker/directive.h -- words in a prompt by which a test says what it wants: "#tokens=5". */
#ifndef REFWORKER_DIRECTIVE_H
#define REFWORKER_DIRECTIVE_H
#include "base/span.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* "#name=123" in the prompt, at most `max`; false, and *ret as it was, when it is not there. */
static inline bool directive(struct span prompt, const char *name, uint32_t max, uint32_t *ret)
{
    const char *at = prompt.len ? memmem(prompt.at, prompt.len, name, strlen(name)) : NULL;
    const char *digit = at ? at + strlen(name) : NULL, *end = prompt.at + prompt.len;
    if (!digit || digit == end || *digit < '0' || *digit > '9')
        return false;
    uint32_t value = 0;
    for (; digit < end && *digit >= '0' && *digit <= '9' && value < max; digit++)
        value = value * 10 + (uint32_t)(*digit - '0');
    *ret = value < max ? value : max;
    return true;
}
#endif
