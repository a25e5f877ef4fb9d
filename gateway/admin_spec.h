/* gateway/admin_spec.h -- the words in which a command's arguments are written (base/json.h), each of them
 * into the member of struct admin_args that has its name. */
#ifndef MAAS_ADMIN_SPEC_H
#define MAAS_ADMIN_SPEC_H
#include "base/json.h"
#include "gateway/admin_job.h"
#include <stddef.h>

/* A text of 1 to `most` bytes. */
#define TEXT(field, required, most)                                              \
    {                                                                            \
#field, WANT_TEXT, required, offsetof(struct admin_args, field), 1, most \
    }
/* A number of 0 to `most` that may be missing. */
#define COUNT(field, most)                                                   \
    {                                                                        \
#field, WANT_INT, false, offsetof(struct admin_args, field), 0, most \
    }
#define FLAG(field)                                                        \
    {                                                                      \
#field, WANT_BOOL, false, offsetof(struct admin_args, field), 0, 0 \
    }
#define END \
    {       \
        0   \
    }
#endif
