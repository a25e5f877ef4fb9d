/* base/status.c -- the rows of STATUS_MAP as a table. */
#include "base/status.h"
#include <assert.h>
#include <stddef.h>

static const struct status_info table[STATUS_COUNT] = {
#define X(name, http, type, code, retry, text) \
    [STATUS_##name] = { #name, http, type, code, retry, text },
    STATUS_MAP(X)
#undef X
};

const struct status_info *status_info(enum status s)
{
    assert((size_t)s < STATUS_COUNT);
    return &table[s];
}
