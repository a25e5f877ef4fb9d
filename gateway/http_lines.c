/* gateway/http_lines.c -- see http_lines.h.
 *
 * The library has a way to add a header that was checked already.  It is none of its public ones: in
 * versions 1.0.x it is as declared here when the library is linked statically, as it is where ours is
 * built from source; else each header goes the ordinary way. */
#include "gateway/http_lines.h"
#include <microhttpd.h>
#include <string.h>

extern bool MHD_add_response_entry_no_check_(struct MHD_Response *response, enum MHD_ValueKind kind,
                                             const char *header, size_t header_len,
                                             const char *content, size_t content_len)
    __attribute__((weak));

static const char separator[] = ": ", line_end[] = "\r\n";
enum { BETWEEN = sizeof separator - 1 + sizeof line_end - 1 };

static bool there(void)
{
    static const char known[] = "1.0.";
    return MHD_add_response_entry_no_check_ &&
           strncmp(MHD_get_version(), known, sizeof known - 1) == 0;
}

void http_lines_begin(struct http_lines *l, struct MHD_Response *to)
{
    l->to = to;
    l->together = there();
    l->len = l->name_len = 0;
}

static char *put(char *at, const char *text, size_t len)
{
    return (char *)memcpy(at, text, len) + len;
}

static bool ends_line(const char *value, size_t len)
{
    return memchr(value, '\r', len) || memchr(value, '\n', len);
}

void http_lines_add(struct http_lines *l, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value),
           need = name_len + value_len + BETWEEN;
    if (need > HTTP_LINES_BYTES - l->len)
        http_lines_end(l);
    if (need > HTTP_LINES_BYTES || value_len == 0 || ends_line(value, value_len) || !l->together) {
        (void)MHD_add_response_header(l->to, name,
                                      value); /* fails only without memory, or as it should */
        return;
    }
    char *at = l->text + l->len;
    if (l->len > 0)
        at = put(at, line_end, sizeof line_end - 1);
    else
        l->name_len = name_len;
    at = put(at, name, name_len);
    at = put(at, separator, sizeof separator - 1);
    at = put(at, value, value_len);
    l->len = (size_t)(at - l->text);
}

/* To the library it is one header, whose value has the others in it. */
void http_lines_end(struct http_lines *l)
{
    size_t before = l->name_len + sizeof separator - 1;
    if (l->len > 0)
        (void)MHD_add_response_entry_no_check_(l->to, MHD_HEADER_KIND, l->text, l->name_len,
                                               l->text + before, l->len - before);
    l->len = 0;
}
