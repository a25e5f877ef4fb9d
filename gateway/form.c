/* gateway/form.c -- see form.h. */
#include "gateway/form_parts.h"
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BOUNDARY_BYTES_MAX = 70, MARK_BYTES = 4 };

/* RFC 2046 5.1.1. */
static bool is_boundary(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c && strchr("'()+_,-./:=? ", c))))
            return false;
    }
    return s.len > 0 && s.len <= BOUNDARY_BYTES_MAX && s.at[s.len - 1] != ' ';
}

bool form_boundary(struct span type, struct span *ret)
{
    static const char wanted[] = "multipart/form-data";
    struct span name, value, found = { "", 0 };
    size_t len = sizeof wanted - 1;
    if (type.len < len || !form_same((struct span){ type.at, len }, wanted))
        return false;
    struct span rest = { type.at + len, type.len - len };
    while (form_parameter(&rest, &name, &value)) {
        if (!form_same(name, "boundary"))
            continue;
        if (found.len)
            return false;
        found = value;
    }
    *ret = found;
    return rest.len == 0 && is_boundary(found);
}

static bool begins(struct span s, const char *text, size_t len)
{
    return s.len >= len && memcmp(s.at, text, len) == 0;
}

static struct span behind(struct span s, size_t n)
{
    return (struct span){ s.at + n, s.len - n };
}

/* The next CRLF "--"; NULL: none.  Sixteen places at a time, whatever the bytes are: a body made to
 * be slow shall not be. */
static const char *find_mark(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i cr = _mm_set1_epi8('\r'), lf = _mm_set1_epi8('\n'), dash = _mm_set1_epi8('-');
    for (; end - p >= 16 + MARK_BYTES - 1; p += 16) {
        const __m128i_u *v[MARK_BYTES];
        for (int i = 0; i < MARK_BYTES; i++)
            v[i] = (const __m128i_u *)(p + i);
        __m128i line = _mm_and_si128(_mm_cmpeq_epi8(_mm_loadu_si128(v[0]), cr),
                                     _mm_cmpeq_epi8(_mm_loadu_si128(v[1]), lf));
        __m128i dashes = _mm_and_si128(_mm_cmpeq_epi8(_mm_loadu_si128(v[2]), dash),
                                       _mm_cmpeq_epi8(_mm_loadu_si128(v[3]), dash));
        int mask = _mm_movemask_epi8(_mm_and_si128(line, dashes));
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    for (; end - p >= MARK_BYTES; p++)
        if (memcmp(p, "\r\n--", MARK_BYTES) == 0)
            return p;
    return NULL;
}

/* The next CRLF "--" boundary; NULL: there is none. */
static const char *find_delimiter(struct span s, struct span boundary)
{
    const char *end = s.at + s.len;
    for (const char *at = find_mark(s.at, end); at; at = find_mark(at + MARK_BYTES, end))
        if ((size_t)(end - at) >= MARK_BYTES + boundary.len &&
            memcmp(at + MARK_BYTES, boundary.at, boundary.len) == 0)
            return at;
    return NULL;
}

static const char *read_part(struct span *rest, struct form *f)
{
    struct form_part *p = &f->part[f->count];
    size_t head_max = rest->len < FORM_HEAD_BYTES_MAX ? rest->len : FORM_HEAD_BYTES_MAX;
    const char *blank = memmem(rest->at, head_max, "\r\n\r\n", 4);
    if (!blank)
        return "the header of a part has no end, or more than 8 KiB";
    size_t head = (size_t)(blank - rest->at) + 2;
    *p = (struct form_part){ .file = false };
    const char *wrong = form_head((struct span){ rest->at, head }, p);
    if (wrong)
        return wrong;
    *rest = behind(*rest, head + 2);
    const char *end = find_delimiter(*rest, f->boundary);
    if (!end)
        return "the form ends before its last delimiter";
    p->value = (struct span){ rest->at, (size_t)(end - rest->at) };
    *rest = behind(*rest, p->value.len + 4 + f->boundary.len);
    if (!p->file && p->value.len > FORM_TEXT_BYTES_MAX)
        return "a field that is no file has more than 64 KiB";
    return NULL;
}

static bool is_list(struct span name)
{
    return name.len > 2 && memcmp(name.at + name.len - 2, "[]", 2) == 0;
}

static bool is_second(const struct form *f, struct span name)
{
    for (unsigned i = 0; i < f->count; i++)
        if (f->part[i].name.len == name.len && memcmp(f->part[i].name.at, name.at, name.len) == 0)
            return !is_list(name);
    return false;
}

static const char *read_parts(struct span rest, struct form *f)
{
    while (!begins(rest, "--", 2)) {
        if (!begins(rest, "\r\n", 2))
            return "a delimiter must end its line";
        rest = behind(rest, 2);
        if (f->count == FORM_PARTS_MAX)
            return "a form may have at most 64 parts";
        const char *wrong = read_part(&rest, f);
        if (wrong)
            return wrong;
        if (is_second(f, f->part[f->count].name))
            return "a field is given twice";
        f->count++;
    }
    rest = behind(rest, 2);
    return rest.len == 0 || span_is(rest, "\r\n") ? NULL : "something follows the end of the form";
}

bool form_read(struct span body, struct span boundary, struct form *ret, const char **ret_what)
{
    ret->boundary = boundary;
    ret->count = 0;
    *ret_what = "the body does not begin with the boundary of its Content-Type";
    if (!begins(body, "--", 2) || !begins(behind(body, 2), boundary.at, boundary.len))
        return false;
    *ret_what = read_parts(behind(body, 2 + boundary.len), ret);
    return !*ret_what;
}

const struct form_part *form_find(const struct form *f, const char *name)
{
    for (unsigned i = 0; i < f->count; i++)
        if (span_is(f->part[i].name, name))
            return &f->part[i];
    return NULL;
}

/* ---- writing ---- */

/* The last part of a path, without what a file system, a shell or a header could take for more. */
static bool add_filename(struct buf *b, struct span name)
{
    for (size_t i = name.len; i-- > 0;)
        if (name.at[i] == '/' || name.at[i] == '\\') {
            name = behind(name, i + 1);
            break;
        }
    if (name.len > FORM_FILENAME_BYTES_MAX) /* the end tells what kind of file it is */
        name = behind(name, name.len - FORM_FILENAME_BYTES_MAX);
    bool ok = name.len > 0 || buf_text(b, "file");
    for (size_t i = 0; ok && i < name.len; i++) {
        char c = name.at[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     c == '-' || c == '_' || (c == '.' && i > 0);
        ok = buf_add(b, plain ? &c : "_", 1);
    }
    return ok;
}

static bool add_part(struct buf *b, const struct form *f, const struct form_part *p,
                     struct span value)
{
    bool ok = buf_text(b, "--") && buf_add(b, f->boundary.at, f->boundary.len) &&
              buf_text(b, "\r\nContent-Disposition: form-data; name=\"") &&
              buf_add(b, p->name.at, p->name.len) && buf_text(b, "\"");
    if (p->file)
        ok =
            ok && buf_text(b, "; filename=\"") && add_filename(b, p->filename) && buf_text(b, "\"");
    if (p->file && p->type.len)
        ok = ok && buf_text(b, "\r\nContent-Type: ") && buf_add(b, p->type.at, p->type.len);
    return ok && buf_text(b, "\r\n\r\n") && buf_add(b, value.at, value.len) && buf_text(b, "\r\n");
}

bool form_write(const struct form *f, const char *model, struct buf *out)
{
    const struct form_part named = { .name = SPAN("model") };
    const struct form_part *theirs = form_find(f, "model");
    struct span name = { model, strlen(model) };
    bool ok = theirs || add_part(out, f, &named, name);
    for (unsigned i = 0; ok && i < f->count; i++) {
        const struct form_part *p = &f->part[i];
        ok = add_part(out, f, p, p == theirs ? name : p->value);
    }
    return ok && buf_text(out, "--") && buf_add(out, f->boundary.at, f->boundary.len) &&
           buf_text(out, "--\r\n");
}
