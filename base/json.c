/* base/json.c -- strict loading, and reading a tree by a table of its fields. */
#include "base/json.h"
#include "base/jscan.h"
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Bytes of text that fit `room` without cutting a character in two. */
static size_t fitting(const char *text, size_t len, size_t room)
{
    if (len <= room)
        return len;
    while (room > 0 && ((unsigned char)text[room] & 0xc0) == 0x80)
        room--;
    return room;
}

__attribute__((format(printf, 4, 5))) static enum status problem_is(struct json_problem *p,
                                                                    enum status s,
                                                                    const char *field,
                                                                    const char *fmt, ...)
{
    size_t len = fitting(field, strlen(field), sizeof p->field - 1);
    memcpy(p->field, field, len);
    p->field[len] = '\0';
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->text, sizeof p->text, fmt, args);
    va_end(args);
    return s;
}

/* Our own words: jansson's quote the text, which may be cut anywhere. */
static const char *loader_says(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_duplicate_key:
        return "duplicate key";
    case json_error_numeric_overflow:
        return "number out of range";
    default:
        return "not valid JSON";
    }
}

enum status json_read_text(struct span text, json_t **ret, struct json_problem *problem)
{
    struct jscan_error where;
    json_error_t e;
    enum status s = jscan_object(text, NULL, 0, &where);
    if (s != STATUS_OK)
        return problem_is(problem, s, "", "byte %zu: %s", where.at, where.what);
    json_t *root = json_loadb(text.at, text.len, JSON_REJECT_DUPLICATES, &e);
    if (!root && json_error_code(&e) == json_error_out_of_memory)
        return problem_is(problem, STATUS_NO_MEMORY, "", "no memory");
    if (!root)
        return problem_is(problem, STATUS_BAD_JSON, "", "byte %d: %s", e.position, loader_says(&e));
    *ret = root;
    return STATUS_OK;
}

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "an array",  [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a fraction", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

static const struct {
    const char *expected, *measured; /* "a string", " of 1 to 64 bytes" */
} wants[] = {
    [WANT_TEXT] = { "a string", "bytes" },      [WANT_INT] = { "an integer", NULL },
    [WANT_BOOL] = { "true or false", NULL },    [WANT_ARRAY] = { "an array", "elements" },
    [WANT_OBJECT] = { "an object", "members" },
};

static bool is_wanted_type(const json_t *value, enum json_want want)
{
    switch (want) {
    case WANT_TEXT:
        return json_is_string(value);
    case WANT_INT:
        return json_is_integer(value);
    case WANT_BOOL:
        return json_is_boolean(value);
    case WANT_ARRAY:
        return json_is_array(value);
    case WANT_OBJECT:
        return json_is_object(value);
    }
    return false;
}

/* What min and max are compared with. */
static int64_t measure(const json_t *value, enum json_want want)
{
    switch (want) {
    case WANT_TEXT:
        return (int64_t)json_string_length(value);
    case WANT_INT:
        return json_integer_value(value);
    case WANT_BOOL:
        return 0;
    case WANT_ARRAY:
        return (int64_t)json_array_size(value);
    case WANT_OBJECT:
        return (int64_t)json_object_size(value);
    }
    return 0;
}

static enum status check_row(const struct json_spec *row, const json_t *value,
                             struct json_problem *problem)
{
    if (!value && row->required)
        return problem_is(problem, STATUS_MISSING_FIELD, row->key, "'%s' is required: %s", row->key,
                          wants[row->want].expected);
    if (!value)
        return STATUS_OK;
    if (!is_wanted_type(value, row->want))
        return problem_is(problem, STATUS_BAD_FIELD, row->key, "'%s' must be %s, not %s", row->key,
                          wants[row->want].expected, type_name(value));
    int64_t size = measure(value, row->want);
    if (row->want == WANT_BOOL || (size >= row->min && size <= row->max))
        return STATUS_OK;
    const char *measured = wants[row->want].measured;
    return problem_is(problem, STATUS_BAD_FIELD, row->key,
                      "'%s' must be %s %s %" PRId64 " to %" PRId64 "%s%s", row->key,
                      wants[row->want].expected, measured ? "of" : "from", row->min, row->max,
                      measured ? " " : "", measured ? measured : "");
}

static const struct json_spec *find_row(const struct json_spec *specs, const char *key)
{
    while (specs->key && strcmp(specs->key, key) != 0)
        specs++;
    return specs->key ? specs : NULL;
}

static enum status check_names(const json_t *object, const struct json_spec *specs,
                               struct json_problem *problem)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)object, key, value)
        if (!find_row(specs, key))
            return problem_is(problem, STATUS_UNSUPPORTED_FIELD, key, "'%.*s' is not a field here",
                              (int)fitting(key, strlen(key), JSON_FIELD_BYTES - 1), key);
    return STATUS_OK;
}

static void store(const struct json_spec *row, json_t *value, char *out)
{
    void *at = out + row->offset;
    switch (row->want) {
    case WANT_TEXT:
        *(const char **)at = json_string_value(value);
        break;
    case WANT_INT:
        *(int64_t *)at = json_integer_value(value);
        break;
    case WANT_BOOL:
        *(bool *)at = json_is_true(value);
        break;
    case WANT_ARRAY:
    case WANT_OBJECT:
        *(json_t **)at = value;
        break;
    }
}

enum status json_read(const json_t *object, const struct json_spec *specs, void *out,
                      uint64_t *ret_seen, struct json_problem *problem)
{
    enum status s = check_names(object, specs, problem);
    for (const struct json_spec *row = specs; s == STATUS_OK && row->key; row++)
        s = check_row(row, json_object_get(object, row->key), problem);
    if (s != STATUS_OK)
        return s;
    uint64_t seen = 0;
    for (size_t i = 0; specs[i].key; i++) {
        assert(i < JSON_SPEC_ROWS_MAX);
        json_t *value = json_object_get(object, specs[i].key);
        if (!value)
            continue;
        store(&specs[i], value, out);
        seen |= UINT64_C(1) << i;
    }
    if (ret_seen)
        *ret_seen = seen;
    return STATUS_OK;
}
