/* base/jscan.h -- one pass over a JSON text that finds its top-level members.
 *
 * The hot path never builds a tree: it validates the text (RFC 8259, UTF-8,
 * depth, no duplicate top-level key, no \u0000) and remembers where the values
 * of the keys it was asked for lie, so that the body can be passed on untouched
 * or spliced.  Keys are compared after unescaping ("mod\u0065l" is "model").
 */
#ifndef MAAS_JSCAN_H
#define MAAS_JSCAN_H
#include "base/span.h"
#include "base/status.h"
#include <stdint.h>

enum { JSCAN_DEPTH_MAX = 64, JSCAN_KEY_BYTES_MAX = 1024 };

enum jtype { J_ABSENT, J_NULL, J_FALSE, J_TRUE, J_NUMBER, J_STRING, J_ARRAY, J_OBJECT };

struct jfield {
    const char *key;   /* asked for; at most 64 keys a scan */
    enum jtype type;   /* J_ABSENT when the text has no such member */
    struct span value; /* raw text of the value, quotes and brackets included */
    size_t key_at;     /* offset of the key's opening quote */
};

struct jscan_error {
    size_t at;        /* byte offset */
    const char *what; /* a static sentence: "expected a value", "duplicate key" */
};

/* The text must be one object (spaces around it are fine).  STATUS_OK, STATUS_BAD_JSON or
 * STATUS_NO_MEMORY; after a failure the fields mean nothing.  At most 4096 top-level keys. */
MUST_CHECK enum status jscan_object(struct span text, struct jfield *fields, size_t n,
                                    struct jscan_error *ret_error);
/* Same grammar, members of a nested object that jscan_object has already validated. */
MUST_CHECK enum status jscan_member(struct span object, struct jfield *fields, size_t n);

/* Number of elements of a validated array; 0 for an empty one. */
size_t jscan_array_count(struct span array);

/* The element of a validated array that begins at *at (0 first), which then is where the next one
 * does.  False: there are no more.  Only type and value of *ret are set. */
MUST_CHECK bool jscan_element(struct span array, size_t *at, struct jfield *ret);

/* An integer without fraction or exponent in int64; false otherwise. */
MUST_CHECK bool jscan_int(const struct jfield *f, int64_t *ret);
/* Unicode code points of a string value: what a character is when it is paid for. */
size_t jscan_code_points(const struct jfield *f);
/* Unescapes a string value into buf with a NUL; false when it does not fit. */
MUST_CHECK bool jscan_string(const struct jfield *f, char *buf, size_t size);
#endif
