/* base/jstring.h -- JSON string literals: where one ends, and what it says.
 *
 * Shared by the scanner and its key set.  Strict: UTF-8 without overlong forms,
 * surrogates or values past U+10FFFF; no raw control character, no \u0000, no lone
 * surrogate escape.
 */
#ifndef MAAS_JSTRING_H
#define MAAS_JSTRING_H
#include "base/span.h"
#include "base/status.h"

/* `p` is behind the opening quote.  Returns what is behind the closing one, or NULL with
 * *ret_at at the fault and a static sentence in *ret_what. */
const char *jstring_skip(const char *p, const char *end, const char **ret_at,
                         const char **ret_what);

/* The text between the quotes of a literal that jstring_skip accepted, unescaped, without a
 * NUL.  False when it does not fit.  Unescaped text is never longer than the escaped. */
MUST_CHECK bool jstring_unescape(struct span inside, char *buf, size_t size, size_t *ret_len);
/* Code points of the text between the quotes of such a literal. */
size_t jstring_code_points(struct span inside);
#endif
