/* gateway/form.h -- multipart/form-data (RFC 7578), read where it lies and written anew.
 *
 * Strict where two readers could differ: CRLF only, no text before the first
 * delimiter or behind the last, no field twice unless its name ends in [], names
 * of plain characters.  What a backend gets is written from what was understood
 * here, so that it cannot read another model's name out of the same bytes.  The
 * contents of files and fields pass byte for byte.
 */
#ifndef MAAS_FORM_H
#define MAAS_FORM_H
#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"
#include <stdbool.h>

enum {
    FORM_PARTS_MAX = 64,
    FORM_HEAD_BYTES_MAX = 8 << 10,  /* of one part, its header fields together */
    FORM_TEXT_BYTES_MAX = 64 << 10, /* of a field that is no file */
    FORM_NAME_BYTES_MAX = 64,
    FORM_FILENAME_BYTES_MAX = 100, /* of what is passed on */
};

struct form_part { /* spans lie in the body */
    struct span name;
    struct span filename; /* as the client wrote it: of any content and length */
    struct span type;     /* of a file, printable; len 0: not said */
    struct span value;
    bool file;
};

struct form {
    struct span boundary;
    unsigned count;
    struct form_part part[FORM_PARTS_MAX];
};

/* The boundary in a Content-Type header; false: it is not multipart/form-data with one. */
MUST_CHECK bool form_boundary(struct span content_type, struct span *ret);
/* `ret_what`: a static sentence about what is wrong.  False: it is no such form. */
MUST_CHECK bool form_read(struct span body, struct span boundary, struct form *ret,
                          const char **ret_what);
/* The part of this name; NULL: none.  There is never a second one. */
const struct form_part *form_find(const struct form *f, const char *name);
/* The same form with `model` as its field model.  File names are reduced to letters, digits, dots,
 * dashes and underscores.  False: no memory. */
MUST_CHECK bool form_write(const struct form *f, const char *model, struct buf *out);

#endif
