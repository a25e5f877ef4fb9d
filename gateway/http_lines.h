/* gateway/http_lines.h -- the headers of an answer, given to the HTTP library together.
 *
 * Each header that it is given costs it three allocations and several comparisons, and fourteen of them
 * were a fifth of what a loop did for a request in user space.  A loop's thread. */
#ifndef MAAS_HTTP_LINES_H
#define MAAS_HTTP_LINES_H
#include <stdbool.h>
#include <stddef.h>

struct MHD_Response;

enum { HTTP_LINES_BYTES = 1024 };

struct http_lines {
    struct MHD_Response *to;
    bool together;        /* else one by one */
    size_t len, name_len; /* of the text; of the name of its first header */
    char text[HTTP_LINES_BYTES];
};

/* `to` is borrowed until the end.  The text is not touched. */
void http_lines_begin(struct http_lines *l, struct MHD_Response *to);
/* What is no value of a header is left out, as the library does.  Not for Connection, Content-Length,
 * Date and Transfer-Encoding, which the library must know of. */
void http_lines_add(struct http_lines *l, const char *name, const char *value);
void http_lines_end(struct http_lines *l);
#endif
