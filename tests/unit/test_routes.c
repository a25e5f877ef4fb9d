/* Paths: what is found, under which level, and what no client of ours sends. */
#include "gateway/routes.h"
#include "gen/unit_suites.h"
#include <string.h>

struct path_case {
    const char *method, *path;
    enum status want;
    const char *suffix;  /* of the row that is found */
    const char *segment; /* of the scope; NULL: no prefix */
    const char *model;
};

static const struct path_case cases[] = {
    { "POST", "/v1/chat/completions", STATUS_OK, "/v1/chat/completions", NULL, "" },
    { "POST", "/base/v1/chat/completions", STATUS_OK, "/v1/chat/completions", "", "" },
    { "POST", "/domain/code/v1/embeddings", STATUS_OK, "/v1/embeddings", "code", "" },
    { "POST", "/industry/finance/v1/chat/completions", STATUS_OK, "/v1/chat/completions", "finance",
      "" },
    { "POST", "/industry/mining/gas/v1/chat/completions", STATUS_OK, "/v1/chat/completions",
      "mining/gas", "" },
    { "POST", "/v1/completions", STATUS_OK, "/v1/completions", NULL, "" },
    { "POST", "/domain/code/v1/completions", STATUS_OK, "/v1/completions", "code", "" },
    { "POST", "/v1/rerank", STATUS_OK, "/v1/rerank", NULL, "" },
    { "POST", "/v2/rerank", STATUS_OK, "/v2/rerank", NULL, "" },
    { "POST", "/rerank", STATUS_OK, "/rerank", NULL, "" },
    { "POST", "/industry/finance/rerank", STATUS_OK, "/rerank", "finance", "" },
    { "POST", "/industry/finance/v2/rerank", STATUS_OK, "/v2/rerank", "finance", "" },
    { "POST", "/base/v1/moderations", STATUS_OK, "/v1/moderations", "", "" },
    { "GET", "/v1/moderations", STATUS_METHOD_NOT_ALLOWED, NULL, NULL, "" },
    { "GET", "/industry/v1/models", STATUS_OK, "/v1/models", "", "" },
    { "GET", "/v1/models", STATUS_OK, "/v1/models", NULL, "" },
    { "HEAD", "/v1/models", STATUS_OK, "/v1/models", NULL, "" },
    { "GET", "/v1/models/", STATUS_OK, "/v1/models", NULL, "" },
    { "GET", "/v1/models/base/chat", STATUS_OK, "/v1/models/{model}", NULL, "base/chat" },
    { "GET", "/v1/models/base%2Fchat", STATUS_OK, "/v1/models/{model}", NULL, "base/chat" },
    { "GET", "/v1/models/base%2fchat", STATUS_OK, "/v1/models/{model}", NULL, "base/chat" },
    { "POST", "/v2/models/simple/infer", STATUS_OK, "/v2/models/{model}/infer", NULL, "simple" },
    { "POST", "/v2/models/base/simple/infer", STATUS_OK, "/v2/models/{model}/infer", NULL,
      "base/simple" },
    { "GET", "/v2/models/base/simple/ready", STATUS_OK, "/v2/models/{model}/ready", NULL,
      "base/simple" },
    { "GET", "/v2/models/base/simple", STATUS_OK, "/v2/models/{model}", NULL, "base/simple" },
    { "POST", "/v2/models/base/simple/versions/1/infer", STATUS_OK,
      "/v2/models/{model}/versions/1/infer", NULL, "base/simple" },
    { "GET", "/v2/models/base%2Fsimple/versions/1/ready", STATUS_OK,
      "/v2/models/{model}/versions/1/ready", NULL, "base/simple" },
    { "GET", "/base/v2/models/simple/versions/1", STATUS_OK, "/v2/models/{model}/versions/1", "",
      "simple" },
    { "GET", "/v2", STATUS_OK, "/v2", NULL, "" },
    { "GET", "/v2/", STATUS_OK, "/v2", NULL, "" },
    { "GET", "/v2/health/live", STATUS_OK, "/v2/health/live", NULL, "" },
    { "GET", "/healthz", STATUS_OK, "/healthz", NULL, "" },
    { "GET", "/", STATUS_OK, "/", NULL, "" },
    { "GET", "/base/healthz", STATUS_NOT_FOUND, NULL, NULL, "" },
    { "GET", "/v1/nothing", STATUS_NOT_FOUND, NULL, NULL, "" },
    { "GET", "/industry/finance", STATUS_NOT_FOUND, NULL, NULL, "" },
    { "GET", "/v1/chat/completions", STATUS_METHOD_NOT_ALLOWED, NULL, NULL, "" },
    { "POST", "/v1/models", STATUS_METHOD_NOT_ALLOWED, NULL, NULL, "" },
    { "DELETE", "/healthz", STATUS_METHOD_NOT_ALLOWED, NULL, NULL, "" },
    { "GET", "/v1%2Fmodels", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models%00x", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models/%2e%2e/x", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/../v1/models", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/./models", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "//v1/models", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models/a%0d%0ab", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models/a%252fb", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models/a%2", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models/a%zz", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models/a\\b", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models/a;b", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "/v1/models/\xc3\xa9", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "v1/models", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "GET", "", STATUS_BAD_FRAMING, NULL, NULL, "" },
    { "OPTIONS", "*", STATUS_BAD_FRAMING, NULL, NULL, "" },
};

START_TEST(test_paths)
{
    const struct path_case *c = &cases[_i];
    struct arena *a = arena_new(4096);
    struct target t = { .row = NULL };
    const char *allow = NULL;
    enum status s =
        route_match(c->method, (struct span){ c->path, strlen(c->path) }, a, &t, &allow);
    ck_assert_msg(s == c->want, "%s: %s", c->path, status_info(s)->name);
    if (s == STATUS_METHOD_NOT_ALLOWED)
        ck_assert_ptr_nonnull(allow);
    if (s == STATUS_OK) {
        ck_assert_str_eq(t.row->suffix, c->suffix);
        ck_assert_int_eq(t.scope.whole, c->segment == NULL);
        if (c->segment)
            ck_assert_msg(
                span_is(t.scope.segment, c->segment) || (t.scope.segment.len == 0 && !*c->segment),
                "%s: segment %.*s", c->path, (int)t.scope.segment.len, t.scope.segment.at);
        ck_assert_msg(t.model.len ? span_is(t.model, c->model) : !*c->model, "%s: model %.*s",
                      c->path, (int)t.model.len, t.model.at ? t.model.at : "");
    }
    arena_free(a);
}
END_TEST

START_TEST(test_what_was_meant)
{
    static const struct {
        const char *path, *meant;
    } wrong[] = {
        { "/chat/completions", "/v1/chat/completions" },
        { "/v1/v1/chat/completions", "/v1/chat/completions" },
        { "/openai/deployments/x/embeddings", "/v1/embeddings" },
        { "/industry/finance/models", "/v1/models" },
        { "/v1/assistants", NULL },
        { "/", NULL },
        { "", NULL },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *meant = route_meant((struct span){ wrong[i].path, strlen(wrong[i].path) });
        ck_assert_str_eq(meant ? meant : "none", wrong[i].meant ? wrong[i].meant : "none");
    }
}
END_TEST

/* An error speaks as its path's clients expect, also of a path that is none of ours. */
START_TEST(test_shapes_of_errors)
{
    static const struct {
        const char *path;
        enum error_shape shape;
    } shapes[] = {
        { "/v1/chat/completions", ERRORS_OPENAI },
        { "/v1/nothing", ERRORS_OPENAI },
        { "/v2/models/m/infer", ERRORS_OIP },
        { "/v2/models/m/nothing", ERRORS_OIP },
        { "/industry/finance/v2/x", ERRORS_OIP },
        { "/v2", ERRORS_OIP },
        { "/v2/rerank", ERRORS_COHERE },
        { "/base/v2/rerank", ERRORS_COHERE },
        { "/rerank", ERRORS_OPENAI },
        { "/v2x", ERRORS_OPENAI },
        { "/base", ERRORS_OPENAI },
        { "", ERRORS_OPENAI },
        { "/v2/../v2/models/m/infer", ERRORS_OPENAI },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        ck_assert_msg(route_errors((struct span){ shapes[i].path, strlen(shapes[i].path) }) ==
                          shapes[i].shape,
                      "%s", shapes[i].path);
}
END_TEST

/* Whatever runs a model is billed; whatever is not billed has an answer of its own. */
START_TEST(test_no_route_is_free_by_mistake)
{
    for (unsigned i = 0; i < route_count; i++) {
        const struct route_row *row = &route_table[i];
        ck_assert_msg((row->capability == 0) == (row->answer != NULL), "%s", row->suffix);
        ck_assert_msg(!row->capability || row->key == KEY_INFERENCE, "%s", row->suffix);
    }
}
END_TEST

Suite *routes_suite(void)
{
    Suite *s = suite_create("routes");
    TCase *t = tcase_create("paths");
    tcase_add_loop_test(t, test_paths, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(t, test_shapes_of_errors);
    tcase_add_test(t, test_what_was_meant);
    tcase_add_test(t, test_no_route_is_free_by_mistake);
    suite_add_tcase(s, t);
    return s;
}
