/* tests/unit/test_json.c -- bodies read by a table, and what the caller is told. */
#include "base/json.h"
#include "base/cleanup.h"
#include <check.h>
#include "gen/unit_suites.h"

struct body {
    const char *name;
    int64_t limit;
    bool active;
    json_t *models, *tags;
};

static const struct json_spec specs[] = {
    { "name", WANT_TEXT, true, offsetof(struct body, name), 1, 8 },
    { "limit", WANT_INT, false, offsetof(struct body, limit), 0, 100 },
    { "active", WANT_BOOL, false, offsetof(struct body, active), 0, 0 },
    { "models", WANT_ARRAY, false, offsetof(struct body, models), 1, 2 },
    { "tags", WANT_OBJECT, false, offsetof(struct body, tags), 0, 1 },
    { NULL, WANT_BOOL, false, 0, 0, 0 },
};

static const struct {
    const char *text;
    enum status status;
    const char *field, *says;
} bodies[] = {
    { "{\"name\":\"a\"}", STATUS_OK, "", "" },
    { "{\"name\":\"12345678\",\"limit\":100,\"active\":true,\"models\":[1,2],\"tags\":{}}",
      STATUS_OK, "", "" },
    { "{}", STATUS_MISSING_FIELD, "name", "'name' is required: a string" },
    { "{\"name\":5}", STATUS_BAD_FIELD, "name", "'name' must be a string, not an integer" },
    { "{\"name\":null}", STATUS_BAD_FIELD, "name", "'name' must be a string, not null" },
    { "{\"name\":\"\"}", STATUS_BAD_FIELD, "name", "'name' must be a string of 1 to 8 bytes" },
    { "{\"name\":\"123456789\"}", STATUS_BAD_FIELD, "name",
      "'name' must be a string of 1 to 8 bytes" },
    { "{\"name\":\"a\",\"limit\":101}", STATUS_BAD_FIELD, "limit",
      "'limit' must be an integer from 0 to 100" },
    { "{\"name\":\"a\",\"limit\":-1}", STATUS_BAD_FIELD, "limit",
      "'limit' must be an integer from 0 to 100" },
    { "{\"name\":\"a\",\"limit\":1.0}", STATUS_BAD_FIELD, "limit",
      "'limit' must be an integer, not a fraction" },
    { "{\"name\":\"a\",\"limit\":\"5\"}", STATUS_BAD_FIELD, "limit",
      "'limit' must be an integer, not a string" },
    { "{\"name\":\"a\",\"active\":1}", STATUS_BAD_FIELD, "active",
      "'active' must be true or false, not an integer" },
    { "{\"name\":\"a\",\"models\":[]}", STATUS_BAD_FIELD, "models",
      "'models' must be an array of 1 to 2 elements" },
    { "{\"name\":\"a\",\"models\":{}}", STATUS_BAD_FIELD, "models",
      "'models' must be an array, not an object" },
    { "{\"name\":\"a\",\"tags\":{\"x\":1,\"y\":2}}", STATUS_BAD_FIELD, "tags",
      "'tags' must be an object of 0 to 1 members" },
    { "{\"name\":\"a\",\"nmae\":1}", STATUS_UNSUPPORTED_FIELD, "nmae",
      "'nmae' is not a field here" },
    { "{\"nmae\":1}", STATUS_UNSUPPORTED_FIELD, "nmae", "'nmae' is not a field here" },
};
enum { BODIES = sizeof bodies / sizeof *bodies };

static json_t *loaded(const char *text)
{
    json_t *root = NULL;
    struct json_problem p;
    ck_assert_int_eq(json_read_text((struct span){ text, strlen(text) }, &root, &p), STATUS_OK);
    return root;
}

START_TEST(bodies_are_read_or_refused_with_reason)
{
    AUTO(json_decref_ptr) json_t *root = loaded(bodies[_i].text);
    struct body b = { .name = "untouched", .limit = 7 };
    struct json_problem p = { "", "" };
    ck_assert_int_eq(json_read(root, specs, &b, NULL, &p), bodies[_i].status);
    ck_assert_str_eq(p.field, bodies[_i].field);
    ck_assert_str_eq(p.text, bodies[_i].says);
    if (bodies[_i].status != STATUS_OK)
        ck_assert(strcmp(b.name, "untouched") == 0 && b.limit == 7);
}
END_TEST

START_TEST(fields_arrive_where_they_belong)
{
    AUTO(json_decref_ptr)
    json_t *root = loaded("{\"active\":true,\"name\":\"n\",\"models\":[\"m\"],\"tags\":{\"k\":1}}");
    struct body b = { .limit = 42 };
    struct json_problem p;
    uint64_t present = 0;
    ck_assert_int_eq(json_read(root, specs, &b, &present, &p), STATUS_OK);
    ck_assert_str_eq(b.name, "n");
    ck_assert(b.active && b.limit == 42); /* the default stays */
    ck_assert_uint_eq(json_array_size(b.models), 1);
    ck_assert_uint_eq(json_object_size(b.tags), 1);
    ck_assert_uint_eq(present, 1 | 4 | 8 | 16);
}
END_TEST

static const struct {
    const char *text, *says;
} broken[] = {
    { "[1]", "byte 0: expected an object" },
    { "{\"a\":1", "byte 6: the text ends too early" },
    { "{\"a\":1}x", "byte 7: something follows the object" },
    { "{\"a\":1,\"a\":2}", "byte 7: duplicate key" },
    { "{\"a\":\"\\u0000\"}", "byte 6: \\u0000 is not allowed" },
};
enum { BROKEN = sizeof broken / sizeof *broken };

START_TEST(broken_text_says_where)
{
    json_t *root = NULL;
    struct json_problem p;
    struct span text = { broken[_i].text, strlen(broken[_i].text) };
    ck_assert_int_eq(json_read_text(text, &root, &p), STATUS_BAD_JSON);
    ck_assert_str_eq(p.text, broken[_i].says);
    ck_assert_ptr_null(root);
}
END_TEST

/* What the scanner lets pass and a tree cannot hold. */
static const char *const tree_only[][2] = {
    { "{\"a\":{\"x\":1,\"\\u0078\":2}}", "duplicate key" },
    { "{\"a\":1e999}", "number out of range" },
    { "{\"a\":9223372036854775808}", "number out of range" },
};

START_TEST(the_tree_is_stricter)
{
    json_t *root = NULL;
    struct json_problem p;
    struct span text = { tree_only[_i][0], strlen(tree_only[_i][0]) };
    ck_assert_int_eq(json_read_text(text, &root, &p), STATUS_BAD_JSON);
    ck_assert_msg(strstr(p.text, tree_only[_i][1]) != NULL, "%s", p.text);
}
END_TEST

START_TEST(a_long_name_is_cut_between_characters)
{
    AUTO(json_decref_ptr) json_t *root = json_object();
    char key[200];
    for (size_t i = 0; i + 3 < sizeof key; i += 3)
        memcpy(key + i, "\xe6\xb0\xb4", 4);
    ck_assert_int_eq(json_object_set_new(root, key, json_null()), 0);
    struct body b;
    struct json_problem p;
    ck_assert_int_eq(json_read(root, specs, &b, NULL, &p), STATUS_UNSUPPORTED_FIELD);
    ck_assert_uint_eq(strlen(p.field), 63);
    AUTO(json_decref_ptr) json_t *says = json_string(p.text); /* NULL unless it is UTF-8 */
    ck_assert_ptr_nonnull(says);
}
END_TEST

Suite *json_suite(void)
{
    Suite *s = suite_create("json");
    TCase *t = tcase_create("json");
    tcase_add_loop_test(t, bodies_are_read_or_refused_with_reason, 0, BODIES);
    tcase_add_test(t, fields_arrive_where_they_belong);
    tcase_add_loop_test(t, broken_text_says_where, 0, BROKEN);
    tcase_add_loop_test(t, the_tree_is_stricter, 0, 3);
    tcase_add_test(t, a_long_name_is_cut_between_characters);
    suite_add_tcase(s, t);
    return s;
}
