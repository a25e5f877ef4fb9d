/* base/jscan.c -- the grammar around the strings: one pass, no recursion, no tree.
 *
 * Functions take the place where they begin and return the place behind what they
 * read, or NULL after fail().  Open containers inside a value are bits of one
 * word, which is what makes the depth limit 64.
 */
#include "base/jscan.h"
#include "base/jkeys.h"
#include "base/jstring.h"
#include <assert.h>

struct scan {
    const char *start, *end;
    struct jscan_error *error;
    enum status status; /* what a failure is */
};

static const char *fail(struct scan *s, const char *at, const char *what)
{
    s->error->at = (size_t)(at - s->start);
    s->error->what = at == s->end ? "the text ends too early" : what;
    return NULL;
}

/* The byte at p, or -1 at the end. */
static inline int peek(const struct scan *s, const char *p)
{
    return p < s->end ? (unsigned char)*p : -1;
}

static inline const char *skip_space(const struct scan *s, const char *p)
{
    while (p < s->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

static const char *skip_string(struct scan *s, const char *p)
{
    const char *at, *what;
    const char *next = jstring_skip(p + 1, s->end, &at, &what);
    return next ? next : fail(s, at, what);
}

static inline bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(struct scan *s, const char *p)
{
    if (!is_digit(peek(s, p)))
        return fail(s, p, "expected a digit");
    while (is_digit(peek(s, p)))
        p++;
    return p;
}

static const char *skip_number(struct scan *s, const char *p)
{
    if (*p == '-')
        p++;
    p = peek(s, p) == '0' ? p + 1 : skip_digits(s, p);
    if (p && peek(s, p) == '.')
        p = skip_digits(s, p + 1);
    if (p && (peek(s, p) | 0x20) == 'e') {
        p++;
        if (peek(s, p) == '+' || peek(s, p) == '-')
            p++;
        p = skip_digits(s, p);
    }
    return p;
}

static const char *skip_word(struct scan *s, const char *p, struct span word)
{
    if ((size_t)(s->end - p) < word.len || memcmp(p, word.at, word.len) != 0)
        return fail(s, p, "expected a value");
    return p + word.len;
}

static enum jtype type_at(int c)
{
    switch (c) {
    case '"':
        return J_STRING;
    case '{':
        return J_OBJECT;
    case '[':
        return J_ARRAY;
    case 't':
        return J_TRUE;
    case 'f':
        return J_FALSE;
    case 'n':
        return J_NULL;
    default:
        return c == '-' || is_digit(c) ? J_NUMBER : J_ABSENT;
    }
}

/* Anything but an array or an object. */
static const char *skip_scalar(struct scan *s, const char *p)
{
    switch (type_at(peek(s, p))) {
    case J_STRING:
        return skip_string(s, p);
    case J_NUMBER:
        return skip_number(s, p);
    case J_TRUE:
        return skip_word(s, p, SPAN("true"));
    case J_FALSE:
        return skip_word(s, p, SPAN("false"));
    case J_NULL:
        return skip_word(s, p, SPAN("null"));
    default:
        return fail(s, p, "expected a value");
    }
}

/* A key that may begin at p, its colon and the space behind it. */
static const char *skip_key(struct scan *s, const char *p)
{
    if (peek(s, p) != '"')
        return fail(s, p, "expected a key in double quotes");
    p = skip_string(s, p);
    if (!p)
        return NULL;
    p = skip_space(s, p);
    return peek(s, p) == ':' ? skip_space(s, p + 1) : fail(s, p, "expected ':'");
}

/* One bit for each open container, the innermost lowest: 1 is an object. */
struct nest {
    uint64_t objects;
    unsigned depth, depth_max;
};

static inline bool in_object(const struct nest *n)
{
    return n->objects & 1;
}

/* Into a container whose bracket is at p.  Ends at its first value, or behind its closing
 * bracket when it is empty. */
static const char *enter(struct scan *s, struct nest *n, const char *p, bool *ret_empty)
{
    bool object = *p == '{';
    if (n->depth == n->depth_max)
        return fail(s, p, "nested too deeply");
    p = skip_space(s, p + 1);
    *ret_empty = peek(s, p) == (object ? '}' : ']');
    if (*ret_empty)
        return p + 1;
    n->depth++;
    n->objects = n->objects << 1 | object;
    return object ? skip_key(s, p) : p;
}

/* From behind a value to the next one, leaving containers that end here; depth 0: all did. */
static const char *next_value(struct scan *s, struct nest *n, const char *p)
{
    while (n->depth > 0) {
        p = skip_space(s, p);
        int c = peek(s, p);
        if (c == ',') {
            p = skip_space(s, p + 1);
            return in_object(n) ? skip_key(s, p) : p;
        }
        if (c != (in_object(n) ? '}' : ']'))
            return fail(s, p, in_object(n) ? "expected ',' or '}'" : "expected ',' or ']'");
        n->depth--;
        n->objects >>= 1;
        p++;
    }
    return p;
}

/* A whole value inside `outer` open containers. */
static const char *skip_value(struct scan *s, const char *p, unsigned outer)
{
    struct nest n = { .depth_max = JSCAN_DEPTH_MAX - outer };
    do {
        int c = peek(s, p);
        bool empty = true;
        p = c == '{' || c == '[' ? enter(s, &n, p, &empty) : skip_scalar(s, p);
        if (p && empty)
            p = next_value(s, &n, p);
    } while (p && n.depth > 0);
    return p;
}

/* What a key says; in buf when it has escapes.  An `at` of NULL: it is too long. */
static struct span key_name(struct span raw, char buf[static JSCAN_KEY_BYTES_MAX])
{
    if (raw.len <= JSCAN_KEY_BYTES_MAX && !memchr(raw.at, '\\', raw.len))
        return raw;
    struct span name = { buf, 0 };
    if (raw.len > 6 * JSCAN_KEY_BYTES_MAX ||
        !jstring_unescape(raw, buf, JSCAN_KEY_BYTES_MAX, &name.len))
        name.at = NULL;
    return name;
}

/* Refuses a key at p that was there before. */
static bool check_key(struct scan *s, struct jkeys *keys, const char *p, struct span raw,
                      struct span name)
{
    if (!name.at)
        return fail(s, p, "the key is too long");
    switch (jkeys_add(keys, raw, name)) {
    case JKEY_NEW:
        return true;
    case JKEY_DUPLICATE:
        return fail(s, p, "duplicate key");
    case JKEY_TOO_MANY:
        return fail(s, p, "too many keys");
    case JKEY_NO_MEMORY:
        s->status = STATUS_NO_MEMORY;
        return fail(s, p, "no memory");
    }
    return false;
}

static struct jfield *find_field(struct jfield *fields, size_t n, struct span name)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(fields[i].key, name.at, name.len) == 0 && fields[i].key[name.len] == '\0')
            return &fields[i];
    return NULL;
}

struct wanted {
    struct jfield *fields;
    size_t count;
};

/* Reads `"key": value` at p and remembers the value when it was asked for. */
static const char *read_member(struct scan *s, struct jkeys *keys, const char *p, struct wanted w)
{
    char buf[JSCAN_KEY_BYTES_MAX];
    if (peek(s, p) != '"')
        return fail(s, p, "expected a key in double quotes");
    const char *behind = skip_string(s, p);
    if (!behind)
        return NULL;
    struct span raw = { p + 1, (size_t)(behind - p - 2) };
    struct span name = key_name(raw, buf);
    if (!check_key(s, keys, p, raw, name))
        return NULL;
    const char *value = skip_space(s, behind);
    if (peek(s, value) != ':')
        return fail(s, value, "expected ':'");
    value = skip_space(s, value + 1);
    const char *end = skip_value(s, value, 1);
    struct jfield *f = end ? find_field(w.fields, w.count, name) : NULL;
    if (f) {
        f->type = type_at(*value);
        f->value = (struct span){ value, (size_t)(end - value) };
        f->key_at = (size_t)(p - s->start);
    }
    return end;
}

static const char *read_members(struct scan *s, struct jkeys *keys, const char *p, struct wanted w)
{
    p = skip_space(s, p);
    if (peek(s, p) == '}')
        return p + 1;
    for (;;) {
        p = read_member(s, keys, skip_space(s, p), w);
        if (!p)
            return NULL;
        p = skip_space(s, p);
        if (peek(s, p) == '}')
            return p + 1;
        if (peek(s, p) != ',')
            return fail(s, p, "expected ',' or '}'");
        p++;
    }
}

enum status jscan_object(struct span text, struct jfield *fields, size_t n,
                         struct jscan_error *ret_error)
{
    struct scan s = { text.at, text.at + text.len, ret_error, STATUS_BAD_JSON };
    struct jkeys keys;
    for (size_t i = 0; i < n; i++) {
        fields[i].type = J_ABSENT;
        fields[i].value = (struct span){ NULL, 0 };
    }
    const char *p = skip_space(&s, text.at);
    if (peek(&s, p) != '{') {
        fail(&s, p, "expected an object");
        return s.status;
    }
    jkeys_init(&keys);
    p = read_members(&s, &keys, p + 1, (struct wanted){ fields, n });
    jkeys_free(&keys);
    if (p)
        p = skip_space(&s, p);
    if (p && p < s.end)
        p = fail(&s, p, "something follows the object");
    return p ? STATUS_OK : s.status;
}

enum status jscan_member(struct span object, struct jfield *fields, size_t n)
{
    struct jscan_error ignored;
    return jscan_object(object, fields, n, &ignored);
}

bool jscan_element(struct span array, size_t *at, struct jfield *ret)
{
    struct jscan_error ignored;
    struct scan s = { array.at, array.at + array.len, &ignored, STATUS_BAD_JSON };
    assert(array.len >= 2 && *array.at == '[');
    const char *p = skip_space(&s, array.at + (*at ? *at : 1));
    if (peek(&s, p) == ',')
        p = skip_space(&s, p + 1);
    if (peek(&s, p) == ']')
        return false;
    const char *end = skip_value(&s, p, 1);
    assert(end); /* it was validated before */
    ret->type = type_at(*p);
    ret->value = (struct span){ p, (size_t)(end - p) };
    *at = (size_t)(end - array.at);
    return true;
}

size_t jscan_array_count(struct span array)
{
    struct jfield ignored;
    size_t count = 0, at = 0;
    while (jscan_element(array, &at, &ignored))
        count++;
    return count;
}

bool jscan_int(const struct jfield *f, int64_t *ret)
{
    if (f->type != J_NUMBER)
        return false;
    const char *p = f->value.at, *end = p + f->value.len;
    int sign = *p == '-' ? -1 : 1;
    int64_t value = 0;
    for (p += *p == '-'; p < end; p++)
        if (!is_digit(*p) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, sign * (*p - '0'), &value))
            return false;
    *ret = value;
    return true;
}

size_t jscan_code_points(const struct jfield *f)
{
    return jstring_code_points((struct span){ f->value.at + 1, f->value.len - 2 });
}

bool jscan_string(const struct jfield *f, char *buf, size_t size)
{
    size_t len;
    if (f->type != J_STRING || size == 0)
        return false;
    struct span inside = { f->value.at + 1, f->value.len - 2 };
    if (!jstring_unescape(inside, buf, size - 1, &len))
        return false;
    buf[len] = '\0';
    return true;
}
