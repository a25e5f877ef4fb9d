/* tests/unit/test_refworker_judges.c -- the reference worker's rankings and moderations.
 *
 * The parts under test are compiled into this file; what they use of the other models comes
 * from test_refworker.c and test_refworker_media.c, which are in the same program. */
#include "backends/refworker/moderation.c"
#include "backends/refworker/embed.h"
#include "backends/refworker/rerank_order.c"
#include <check.h>
#include <stdio.h>

Suite *refworker_judges_suite(void);

static struct span span_of(const char *text)
{
    return (struct span){ text, strlen(text) };
}

/* --- Rerank ------------------------------------------------------------------------------------ */

static const struct {
    const char *body, *fault;
    size_t count, top_n;
} rerank_cases[] = {
    { "{\"query\":\"q\",\"documents\":[\"a\",{\"text\":\"b\"}]}", NULL, 2, 2 },
    { "{\"query\":\"q\",\"documents\":[\"a\",\"b\"],\"top_n\":1}", NULL, 2, 1 },
    { "{\"query\":\"q\",\"documents\":[\"a\",\"b\"],\"top_n\":0}", NULL, 2, 2 },
    { "{\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":9}", NULL, 1, 1 },
    { "{\"documents\":[\"a\"]}", "query", 0, 0 },
    { "{\"query\":\"q\"}", "documents", 0, 0 },
    { "{\"query\":\"q\",\"documents\":[]}", "documents", 0, 0 },
    { "{\"query\":\"q\",\"documents\":[\"a\",7]}", "documents[1]", 0, 0 },
    { "{\"query\":\"q\",\"documents\":[{}]}", "documents[0]", 0, 0 },
    { "{\"query\":\"q\",\"documents\":[\"a\"],\"top_n\":-1}", "top_n", 0, 0 },
};

START_TEST(test_rerank_orders)
{
    struct rerank_order o;
    struct fault f = { 0 };
    bool ok = rerank_order_read(span_of(rerank_cases[_i].body), &o, &f);
    ck_assert_msg(ok == !rerank_cases[_i].fault, "%s", f.text);
    if (ok) {
        ck_assert_uint_eq(o.count, rerank_cases[_i].count);
        ck_assert_uint_eq(o.top_n, rerank_cases[_i].top_n);
        ck_assert(span_is(rerank_document(&o, o.count - 1), o.count == 2 ? "b" : "a"));
    } else {
        ck_assert_msg(strstr(f.text, rerank_cases[_i].fault) != NULL, "%s", f.text);
    }
    json_decref(o.tree);
}
END_TEST

START_TEST(test_rerank_scores)
{
    int32_t query[EMBED_DIMENSIONS_MAX];
    embed_text(span_of("the credit risk of a loan"), EMBED_DIMENSIONS_DEFAULT, query);
    uint32_t same = rerank_score(query, span_of("the credit risk of a loan"));
    uint32_t near = rerank_score(query, span_of("loans and their credit risks"));
    uint32_t far = rerank_score(query, span_of("a garden with tomatoes"));
    ck_assert(same > EMBED_ONE - 100 && same <= EMBED_ONE);
    ck_assert(same > near && near > far);
}
END_TEST

/* --- Moderation -------------------------------------------------------------------------------- */

static const struct {
    const char *input;
    const char *flagged[3]; /* of each result the category, "" none */
    const char *fault;
} moderation_cases[] = {
    { "\"a quiet day\"", { "" }, NULL },
    { "\"\"", { "" }, NULL },
    { "\"I will KILL you.\"", { "violence" }, NULL },
    { "\"a painkiller and a skilled hand\"", { "" }, NULL },
    { "[\"you moron\",\"hello\"]", { "harassment", "" }, NULL },
    { "[{\"type\":\"text\",\"text\":\"hello\"},{\"type\":\"text\",\"text\":\"bomb\"}]",
      { "violence" },
      NULL },
    { "[{\"type\":\"image_url\"}]", { NULL }, "input[0]" },
    { "[\"a\",1]", { NULL }, "input[1]" },
    { "[]", { NULL }, "input" },
    { "7", { NULL }, "input" },
};

START_TEST(test_moderations)
{
    char body[256];
    struct buf out;
    struct fault f = { 0 };
    int64_t tokens;
    buf_init(&out, 1 << 20);
    snprintf(body, sizeof body, "{\"input\":%s}", moderation_cases[_i].input);
    bool ok = moderation_answer(span_of(body), 7, "m", &out, &tokens, &f);
    ck_assert_msg(ok == !moderation_cases[_i].fault, "%s", f.text);
    if (!ok) {
        ck_assert_msg(strstr(f.text, moderation_cases[_i].fault) != NULL, "%s", f.text);
        buf_free(&out);
        return;
    }
    json_t *j = json_loadb(out.at, out.len, 0, NULL), *result;
    json_t *results = json_object_get(j, "results");
    size_t i;
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(j, "note")), "not by a model"));
    json_array_foreach (results, i, result) {
        const char *wanted = moderation_cases[_i].flagged[i];
        ck_assert_ptr_nonnull(wanted);
        ck_assert_int_eq(json_is_true(json_object_get(result, "flagged")), *wanted != 0);
        const char *name;
        json_t *value;
        ck_assert_uint_eq(json_object_size(json_object_get(result, "category_scores")), 13);
        json_object_foreach (json_object_get(result, "categories"), name, value)
            ck_assert_int_eq(json_is_true(value), strcmp(name, wanted) == 0);
    }
    ck_assert_ptr_null(i < 3 ? moderation_cases[_i].flagged[i] : NULL);
    json_decref(j);
    buf_free(&out);
}
END_TEST

Suite *refworker_judges_suite(void)
{
    Suite *s = suite_create("refworker_judges");
    TCase *t = tcase_create("refworker_judges");
    tcase_add_loop_test(t, test_rerank_orders, 0, sizeof rerank_cases / sizeof *rerank_cases);
    tcase_add_test(t, test_rerank_scores);
    tcase_add_loop_test(t, test_moderations, 0, sizeof moderation_cases / sizeof *moderation_cases);
    suite_add_tcase(s, t);
    return s;
}
