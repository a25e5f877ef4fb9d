/* gateway/form_head.c -- the header fields of a part: which field is it, is it a file? */
#include "gateway/form_parts.h"
#include <string.h>
#include <strings.h>

bool form_same(struct span a, const char *lower)
{
    return a.len == strlen(lower) && strncasecmp(a.at, lower, a.len) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct span trim(struct span s)
{
    while (s.len && is_blank(s.at[0]))
        s = (struct span){ s.at + 1, s.len - 1 };
    while (s.len && is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

/* RFC 9110 5.6.2. */
static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_len(struct span s)
{
    size_t n = 0;
    while (n < s.len && is_token_char(s.at[n]))
        n++;
    return n;
}

/* The inside of a quoted string that begins at s; what a backslash hides stays as it is. */
static bool quoted(struct span s, struct span *ret)
{
    size_t at = 1;
    while (at < s.len && s.at[at] != '"')
        at += s.at[at] == '\\' ? 2 : 1;
    if (at >= s.len)
        return false;
    *ret = (struct span){ s.at + 1, at - 1 };
    return true;
}

bool form_parameter(struct span *rest, struct span *ret_name, struct span *ret_value)
{
    struct span s = trim(*rest);
    if (s.len == 0 || s.at[0] != ';')
        return false;
    s = trim((struct span){ s.at + 1, s.len - 1 });
    size_t name = token_len(s);
    if (name == 0 || name + 1 >= s.len || s.at[name] != '=')
        return false;
    *ret_name = (struct span){ s.at, name };
    s = (struct span){ s.at + name + 1, s.len - name - 1 };
    size_t taken;
    if (s.at[0] == '"') {
        if (!quoted(s, ret_value))
            return false;
        taken = ret_value->len + 2;
    } else {
        *ret_value = (struct span){ s.at, token_len(s) };
        taken = ret_value->len;
    }
    *rest = trim((struct span){ s.at + taken, s.len - taken });
    return taken > 0;
}

/* Plain characters only: no reader can understand another name. */
static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c && strchr("_-.[]", c))))
            return false;
    }
    return s.len > 0 && s.len <= FORM_NAME_BYTES_MAX;
}

static const char *read_disposition(struct span value, struct form_part *p)
{
    static const char wrong[] = "Content-Disposition must be form-data with a name";
    size_t kind = token_len(value);
    struct span rest = { value.at + kind, value.len - kind }, name, text;
    if (p->name.len)
        return "a part has two Content-Disposition";
    if (!form_same((struct span){ value.at, kind }, "form-data"))
        return wrong;
    while (form_parameter(&rest, &name, &text)) {
        bool is_filename = form_same(name, "filename");
        if (form_same(name, "name")) {
            if (p->name.len)
                return wrong;
            p->name = text;
        } else if (is_filename || form_same(name, "filename*")) {
            if (is_filename && p->file && p->filename.len)
                return "a part has two file names";
            p->filename = is_filename || !p->file ? text : p->filename;
            p->file = true;
        }
    }
    return rest.len || !is_name(p->name) ? wrong : NULL;
}

static const char *read_type(struct span value, struct form_part *p)
{
    if (p->type.len)
        return "a part has two Content-Type";
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] < 0x20 || value.at[i] > 0x7e)
            return "the Content-Type of a part must be printable ASCII";
    if (value.len >= 10 && strncasecmp(value.at, "multipart/", 10) == 0)
        return "a part must not be a form of its own";
    p->type = value;
    return NULL;
}

static const char *read_coding(struct span value)
{
    bool plain = form_same(value, "binary") || form_same(value, "8bit") || form_same(value, "7bit");
    return plain ? NULL : "the Content-Transfer-Encoding of a part must be binary";
}

static const char *read_field(struct span line, struct form_part *p)
{
    size_t name_len = token_len(line);
    if (name_len == 0 || name_len == line.len || line.at[name_len] != ':')
        return "a header field of a part is malformed";
    struct span name = { line.at, name_len };
    struct span value = trim((struct span){ line.at + name_len + 1, line.len - name_len - 1 });
    if (form_same(name, "content-disposition"))
        return read_disposition(value, p);
    if (form_same(name, "content-type"))
        return read_type(value, p);
    if (form_same(name, "content-transfer-encoding"))
        return read_coding(value);
    return NULL; /* it is not passed on */
}

const char *form_head(struct span head, struct form_part *ret)
{
    const char *wrong = NULL;
    while (!wrong && head.len) {
        const char *end = memmem(head.at, head.len, "\r\n", 2);
        struct span line = { head.at, end ? (size_t)(end - head.at) : head.len };
        if (!end || memchr(line.at, '\r', line.len) || memchr(line.at, '\n', line.len) ||
            memchr(line.at, '\0', line.len))
            return "a header line of a part must end with CRLF";
        wrong = read_field(line, ret);
        head = (struct span){ end + 2, head.len - line.len - 2 };
    }
    return wrong || ret->name.len ? wrong : "a part has no Content-Disposition";
}
