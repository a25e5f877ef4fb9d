/* tests/fuzz/fuzz_jscan.c -- the scanner against jansson, which shares no line with it.
 *
 * What both can judge they must judge alike; where the scanner is stricter by
 * design, its reason must be one of three.
 */
#include "base/cleanup.h"
#include "base/jscan.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool stricter_by_design(const char *what)
{
    static const char *const reasons[] = { "nested too deeply", "the key is too long",
                                           "too many keys" };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(what, reasons[i]) == 0)
            return true;
    return false;
}

static enum jtype type_of(const json_t *value)
{
    static const enum jtype types[] = {
        [JSON_OBJECT] = J_OBJECT,  [JSON_ARRAY] = J_ARRAY, [JSON_STRING] = J_STRING,
        [JSON_INTEGER] = J_NUMBER, [JSON_REAL] = J_NUMBER, [JSON_TRUE] = J_TRUE,
        [JSON_FALSE] = J_FALSE,    [JSON_NULL] = J_NULL,
    };
    return value ? types[json_typeof(value)] : J_ABSENT;
}

static void compare_field(const struct jfield *f, const json_t *value)
{
    char text[256];
    int64_t number;
    assert(f->type == type_of(value));
    if (jscan_int(f, &number))
        assert(json_is_integer(value) && json_integer_value(value) == number);
    else
        assert(!json_is_integer(value));
    if (jscan_string(f, text, sizeof text))
        assert(strcmp(json_string_value(value), text) == 0);
    else
        assert(!json_is_string(value) || json_string_length(value) >= sizeof text);
    if (f->type == J_ARRAY)
        assert(jscan_array_count(f->value) == json_array_size(value));
    if (f->type == J_OBJECT) {
        struct jfield inner = { .key = "include_usage" };
        if (jscan_member(f->value, &inner, 1) == STATUS_OK)
            assert(inner.type == type_of(json_object_get(value, inner.key)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jfield fields[] = { { .key = "model" },          { .key = "messages" }, { .key = "n" },
                               { .key = "stream_options" }, { .key = "a" },        { .key = "" } };
    enum { FIELDS = sizeof fields / sizeof *fields };
    struct jscan_error why = { 0, NULL };
    json_error_t e;
    struct span text = { (const char *)data, size };
    bool ok = jscan_object(text, fields, FIELDS, &why) == STATUS_OK;
    if (size && memchr(data, 0, size)) { /* jansson 2.14 swallows a NUL behind a number */
        assert(!ok);
        return 0;
    }
    AUTO(json_decref_ptr) json_t *strict = json_loadb(text.at, size, JSON_REJECT_DUPLICATES, &e);
    if (!ok) {
        assert(why.at <= size && why.what);
        assert(!json_is_object(strict) || stricter_by_design(why.what));
        return 0;
    }
    AUTO(json_decref_ptr) json_t *tree = json_loadb(text.at, size, 0, &e);
    if (!tree) {
        assert(json_error_code(&e) == json_error_numeric_overflow);
        return 0;
    }
    for (size_t i = 0; i < FIELDS; i++)
        compare_field(&fields[i], json_object_get(tree, fields[i].key));
    return 0;
}
