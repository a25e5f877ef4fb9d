/* tests/unit/test_yaml.c -- the tree: text as written, places, order, limits. */
#include "base/buf.h"
#include "conf/yaml.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <stdio.h>

static struct arena *arena;

static void setup(void)
{
    arena = arena_new(128 << 20);
    ck_assert_ptr_nonnull(arena);
}

static void teardown(void)
{
    arena_free(arena);
}

static const struct yaml_node *tree(const char *text)
{
    const struct yaml_node *root = NULL;
    struct yaml_problem problem = { 0 };
    enum status status = yaml_read((struct span){ text, strlen(text) }, arena, &root, &problem);
    ck_assert_msg(status == STATUS_OK, "%u:%u: %s", problem.line, problem.column, problem.text);
    return root;
}

static void check_problem(const char *text, size_t len, const char *expected)
{
    const struct yaml_node *root = NULL;
    struct yaml_problem problem = { 0 };
    ck_assert_int_eq(yaml_read((struct span){ text, len }, arena, &root, &problem),
                     STATUS_BAD_FIELD);
    ck_assert_str_eq(problem.text, expected);
    ck_assert_ptr_null(root);
}

static const struct {
    const char *label, *text, *value;
    bool plain;
} texts[] = {
    { "leading zero", "k: 0123", "0123", true },
    { "octal", "k: 0o17", "0o17", true },
    { "yes", "k: yes", "yes", true },
    { "null", "k: ~", "~", true },
    { "date", "k: 2026-01-01", "2026-01-01", true },
    { "sexagesimal", "k: 1:20", "1:20", true },
    { "float", "k: 1.10", "1.10", true },
    { "no value", "k:", "", true },
    { "empty in quotes", "k: ''", "", false },
    { "single quotes", "k: 'it''s'", "it's", false },
    { "escapes", "k: \"\\u4e2d\\n\"", "\xe4\xb8\xad\n", false },
    { "literal block", "k: |\n  a\n  b\n", "a\nb\n", false },
    { "folded block", "k: >-\n  a\n  b\n", "a b", false },
    { "comment", "k: a # b", "a", true },
    { "hash inside", "k: a#b", "a#b", true },
    { "flow", "{k: v}", "v", true },
    { "a dollar stays", "k: ${HOME}", "${HOME}", true },
};

START_TEST(test_text)
{
    const struct yaml_node *n = yaml_get(tree(texts[_i].text), "k");
    ck_assert_ptr_nonnull(n);
    ck_assert_int_eq(n->kind, YAML_TEXT);
    ck_assert_str_eq(n->text, texts[_i].value);
    ck_assert_int_eq(n->plain, texts[_i].plain);
}
END_TEST

START_TEST(test_places_and_order)
{
    const struct yaml_node *root = tree("a: 1\nb:\n  - x\n  -  {c: d}\n\"e f\": []\n");
    ck_assert_uint_eq(root->count, 3);
    const struct yaml_node *b = yaml_get(root, "b"), *e = yaml_get(root, "e f");
    ck_assert_ptr_eq(root->first->next, b);
    ck_assert_ptr_eq(root->last, e);
    ck_assert_int_eq(b->kind, YAML_LIST);
    ck_assert_uint_eq(b->key_line, 2);
    ck_assert_uint_eq(b->key_column, 1);
    ck_assert_uint_eq(b->count, 2);
    const struct yaml_node *d = yaml_get(b->last, "c");
    ck_assert_ptr_eq(d->parent, b->last);
    ck_assert_uint_eq(b->last->at, 1);
    ck_assert_uint_eq(d->line, 4);
    ck_assert_uint_eq(d->column, 10);
    ck_assert_uint_eq(e->count, 0);
    ck_assert_ptr_null(yaml_get(root, "x"));
}
END_TEST

START_TEST(test_empty)
{
    static const char *const empty[] = { "", "\n", "# a comment\n", "---\n", "---\n...\n", "{}" };
    const struct yaml_node *root = tree(empty[_i]);
    ck_assert_int_eq(root->kind, YAML_MAP);
    ck_assert_uint_eq(root->count, 0);
    ck_assert_ptr_null(yaml_get(root, "a"));
}
END_TEST

/* The root and its list are two values, so this many more fit. */
START_TEST(test_values_max)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    ck_assert(buf_text(&b, "k: ["));
    for (int i = 0; i < YAML_NODES_MAX - 2; i++)
        ck_assert(buf_text(&b, "1,"));
    size_t len = b.len;
    ck_assert(buf_text(&b, "]"));
    ck_assert_uint_eq(yaml_get(tree(b.at), "k")->count, YAML_NODES_MAX - 2);
    b.len = len; /* the bracket goes, one more value and the bracket come */
    ck_assert(buf_text(&b, "1]"));
    check_problem(b.at, b.len, "more than 100000 values in one file");
    buf_free(&b);
}
END_TEST

START_TEST(test_many_keys_in_one_map)
{
    struct buf b;
    buf_init(&b, 2 << 20);
    for (int i = 0; i < 90000; i++)
        ck_assert(buf_printf(&b, "k%d: 1\n", i));
    ck_assert_uint_eq(tree(b.at)->count, 90000);
    ck_assert(buf_text(&b, "k77: 1\nk5: 1\n"));
    check_problem(b.at, b.len, "the key 'k77' was already given in line 78");
    buf_free(&b);
}
END_TEST

START_TEST(test_depth)
{
    char text[64];
    memset(text, '[', YAML_DEPTH_MAX);
    memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    text[2 * YAML_DEPTH_MAX] = '\0';
    ck_assert_int_eq(tree(text)->kind, YAML_LIST);
    memset(text, '[', YAML_DEPTH_MAX + 1);
    check_problem(text, YAML_DEPTH_MAX + 1, "nested more than 16 levels deep");
}
END_TEST

START_TEST(test_bytes_max)
{
    struct buf b;
    buf_init(&b, YAML_BYTES_MAX + 1);
    char line[1024]; /* a comment; the limit is a whole number of these */
    memset(line, '#', sizeof line);
    line[sizeof line - 1] = '\n';
    while (b.len < YAML_BYTES_MAX)
        ck_assert(buf_add(&b, line, sizeof line));
    ck_assert_uint_eq(tree(b.at)->count, 0);
    ck_assert(buf_text(&b, "#"));
    check_problem(b.at, b.len, "the file is larger than 4194304 bytes");
    buf_free(&b);
}
END_TEST

START_TEST(test_nul_byte)
{
    check_problem("a\0b", 3, "control characters are not allowed");
}
END_TEST

Suite *yaml_suite(void)
{
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("tree");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_text, 0, (int)(sizeof texts / sizeof *texts));
    tcase_add_test(t, test_places_and_order);
    tcase_add_loop_test(t, test_empty, 0, 6);
    tcase_add_test(t, test_values_max);
    tcase_add_test(t, test_many_keys_in_one_map);
    tcase_add_test(t, test_depth);
    tcase_add_test(t, test_bytes_max);
    tcase_add_test(t, test_nul_byte);
    suite_add_tcase(s, t);
    return s;
}
