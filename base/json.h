/* base/json.h -- JSON trees for admin and billing bodies, where speed is nothing
 * and the error message is everything.  The hot path uses jscan instead.
 *
 * A body is described by a table of its fields and read into a C struct.  A field
 * that the table does not have is refused, with its name.
 */
#ifndef MAAS_JSON_H
#define MAAS_JSON_H
#include "base/span.h"
#include "base/status.h"
#include <jansson.h>
#include <stdint.h>

enum json_want {
    WANT_TEXT,   /* const char *, borrowed from the tree; min..max bytes */
    WANT_INT,    /* int64_t; min..max */
    WANT_BOOL,   /* bool */
    WANT_ARRAY,  /* json_t *, borrowed; min..max elements */
    WANT_OBJECT, /* json_t *, borrowed; min..max members */
};

/* A table ends with a row without key.  Fields that are not in the body leave the
 * struct as it was, so defaults are put there before. */
struct json_spec {
    const char *key;
    enum json_want want;
    bool required;
    size_t offset;
    int64_t min, max;
};

enum { JSON_FIELD_BYTES = 64, JSON_SPEC_ROWS_MAX = 64 };

struct json_problem {
    char field[JSON_FIELD_BYTES]; /* "" when it is not about one field */
    char text[256];               /* one sentence, safe to show to the caller */
};

/* Strict: one object, RFC 8259, UTF-8, 64 levels deep at most, no duplicate key at
 * any level.  BAD_JSON or NO_MEMORY. */
MUST_CHECK enum status json_read_text(struct span text, json_t **ret, struct json_problem *problem);

/* UNSUPPORTED_FIELD, MISSING_FIELD or BAD_FIELD.  `out` is written only on success.
 * ret_seen (may be NULL): bit i is set when row i was in the body. */
MUST_CHECK enum status json_read(const json_t *object, const struct json_spec *specs, void *out,
                                 uint64_t *ret_seen, struct json_problem *problem);
#endif
