/* What a body asks for, and the body a backend is given. */
#include "conf/catalog.h"
#include "gateway/ask.h"
#include "gateway/rewrite.h"
#include "gen/unit_suites.h"
#include <jansson.h>
#include <stdlib.h>

struct ask_case {
    unsigned capability;
    const char *body;
    enum status want;
    const char *param;
};

#define CHAT(body, want, param)              \
    {                                        \
        CAP_CHAT, body, STATUS_##want, param \
    }
#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static const struct ask_case cases[] = {
    CHAT("{\"model\":\"m\"," MESSAGES "}", OK, ""),
    CHAT("{" MESSAGES "}", OK, ""),
    CHAT("{\"mod\\u0065l\":\"m\"," MESSAGES "}", OK, ""),
    CHAT("{\"model\":\"a\",\"model\":\"b\"," MESSAGES "}", BAD_JSON, ""),
    CHAT("{\"model\":\"a\",\"mod\\u0065l\":\"b\"," MESSAGES "}", BAD_JSON, ""),
    CHAT("{\"model\":7," MESSAGES "}", BAD_FIELD, "model"),
    CHAT("{\"model\":\"m\"}", MISSING_FIELD, "messages"),
    CHAT("{\"model\":\"m\",\"messages\":null}", MISSING_FIELD, "messages"),
    CHAT("{\"model\":\"m\",\"messages\":\"hi\"}", BAD_FIELD, "messages"),
    CHAT("{\"model\":\"m\",\"messages\":[]}", BAD_FIELD, "messages"),
    CHAT("{" MESSAGES ",\"stream\":\"yes\"}", BAD_FIELD, "stream"),
    CHAT("{" MESSAGES ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", OK, ""),
    CHAT("{" MESSAGES ",\"stream_options\":{\"include_usage\":true}}", BAD_FIELD, "stream_options"),
    CHAT("{" MESSAGES ",\"stream\":true,\"stream_options\":7}", BAD_FIELD, "stream_options"),
    CHAT("{" MESSAGES ",\"stream\":true,\"stream_options\":{\"include_usage\":\"x\"}}", BAD_FIELD,
         "include_usage"),
    CHAT("{" MESSAGES ",\"max_tokens\":0}", BAD_FIELD, "max_tokens"),
    CHAT("{" MESSAGES ",\"max_tokens\":-1}", BAD_FIELD, "max_tokens"),
    CHAT("{" MESSAGES ",\"max_tokens\":1.5}", BAD_FIELD, "max_tokens"),
    CHAT("{" MESSAGES ",\"max_tokens\":1e308}", BAD_FIELD, "max_tokens"),
    CHAT("{" MESSAGES ",\"max_tokens\":9223372036854775808}", BAD_FIELD, "max_tokens"),
    CHAT("{" MESSAGES ",\"max_tokens\":\"5\"}", BAD_FIELD, "max_tokens"),
    CHAT("{" MESSAGES ",\"max_tokens\":5,\"max_completion_tokens\":6}", BAD_FIELD,
         "max_completion_tokens"),
    CHAT("{" MESSAGES ",\"max_tokens\":6,\"max_completion_tokens\":6}", OK, ""),
    CHAT("{" MESSAGES ",\"n\":129}", BAD_FIELD, "n"),
    CHAT("{" MESSAGES ",\"n\":1000000000}", BAD_FIELD, "n"),
    CHAT("{" MESSAGES ",\"api_key\":\"x\"}", UNSUPPORTED_FIELD, "api_key"),
    CHAT("{" MESSAGES ",\"base_url\":\"x\"}", UNSUPPORTED_FIELD, "base_url"),
    CHAT("{" MESSAGES ",\"cache_salt\":\"x\"}", UNSUPPORTED_FIELD, "cache_salt"),
    CHAT("[]", BAD_JSON, ""),
    CHAT("", BAD_JSON, ""),
    CHAT("{", BAD_JSON, ""),
    CHAT("nonsense", BAD_JSON, ""),
    { CAP_EMBEDDINGS, "{\"input\":\"a\"}", STATUS_OK, "" },
    { CAP_EMBEDDINGS, "{\"input\":[\"a\"]}", STATUS_OK, "" },
    { CAP_EMBEDDINGS, "{\"input\":7}", STATUS_BAD_FIELD, "input" },
    { CAP_EMBEDDINGS, "{}", STATUS_MISSING_FIELD, "input" },
    { CAP_IMAGES, "{\"prompt\":\"a\",\"n\":2}", STATUS_OK, "" },
    { CAP_IMAGES, "{\"prompt\":[]}", STATUS_BAD_FIELD, "prompt" },
    { CAP_IMAGES, "{\"prompt\":\"a\",\"stream\":true}", STATUS_UNSUPPORTED_FIELD, "stream" },
    { CAP_INFER, "{\"inputs\":[{}]}", STATUS_OK, "" },
    { CAP_INFER, "{\"inputs\":{}}", STATUS_BAD_FIELD, "inputs" },
    { CAP_INFER, "{}", STATUS_MISSING_FIELD, "inputs" },
    { CAP_COMPLETIONS, "{\"prompt\":\"\"}", STATUS_OK, "" },
    { CAP_COMPLETIONS, "{\"prompt\":[1,2],\"stream\":true,\"suffix\":\"x\"}", STATUS_OK, "" },
    { CAP_COMPLETIONS, "{}", STATUS_MISSING_FIELD, "prompt" },
    { CAP_COMPLETIONS, "{\"prompt\":7}", STATUS_BAD_FIELD, "prompt" },
    { CAP_COMPLETIONS, "{\"prompt\":[]}", STATUS_BAD_FIELD, "prompt" },
    { CAP_COMPLETIONS, "{\"prompt\":\"a\",\"best_of\":21}", STATUS_BAD_FIELD, "best_of" },
    { CAP_COMPLETIONS, "{\"prompt\":\"a\",\"n\":3,\"best_of\":2}", STATUS_BAD_FIELD, "best_of" },
    { CAP_COMPLETIONS, "{\"prompt\":\"a\",\"best_of\":2,\"stream\":true}", STATUS_BAD_FIELD,
      "best_of" },
    { CAP_COMPLETIONS, "{\"prompt\":\"a\",\"max_tokens\":0}", STATUS_BAD_FIELD, "max_tokens" },
    { CAP_COMPLETIONS, "{\"prompt\":\"a\",\"stream_options\":{}}", STATUS_BAD_FIELD,
      "stream_options" },
    { CAP_RERANK, "{\"query\":\"a\",\"documents\":[\"b\",{\"text\":\"c\"}]}", STATUS_OK, "" },
    { CAP_RERANK, "{\"documents\":[\"b\"]}", STATUS_MISSING_FIELD, "query" },
    { CAP_RERANK, "{\"query\":[],\"documents\":[\"b\"]}", STATUS_BAD_FIELD, "query" },
    { CAP_RERANK, "{\"query\":\"a\",\"texts\":[\"b\"]}", STATUS_MISSING_FIELD, "documents" },
    { CAP_RERANK, "{\"query\":\"a\",\"documents\":[]}", STATUS_BAD_FIELD, "documents" },
    { CAP_RERANK, "{\"query\":\"a\",\"documents\":\"b\"}", STATUS_BAD_FIELD, "documents" },
    { CAP_MODERATION, "{\"input\":\"a\"}", STATUS_OK, "" },
    { CAP_MODERATION, "{\"input\":[{\"type\":\"text\",\"text\":\"a\"}]}", STATUS_OK, "" },
    { CAP_MODERATION, "{\"input\":[]}", STATUS_BAD_FIELD, "input" },
    { CAP_MODERATION, "{\"input\":{}}", STATUS_BAD_FIELD, "input" },
    { CAP_MODERATION, "{\"input\":\"a\",\"stream\":true}", STATUS_UNSUPPORTED_FIELD, "stream" },
    { CAP_MODERATION, "{\"input\":\"a\",\"base_url\":\"x\"}", STATUS_UNSUPPORTED_FIELD,
      "base_url" },
};

/* What a body bounds: answers to write, input tokens beyond its own bytes. */
static const struct {
    unsigned capability;
    const char *body;
    uint64_t generated, extra;
} bounds[] = {
    { CAP_CHAT, "{\"n\":3," MESSAGES "}", 3, 0 },
    { CAP_COMPLETIONS, "{\"prompt\":\"a\"}", 1, 0 },
    { CAP_COMPLETIONS, "{\"prompt\":\"a\",\"n\":2,\"best_of\":5}", 5, 0 },
    { CAP_COMPLETIONS, "{\"prompt\":[\"a\",\"b\"],\"n\":2}", 4, 0 },
    { CAP_COMPLETIONS, "{\"prompt\": [ 17, 4, 4 ]}", 1, 0 },
    { CAP_COMPLETIONS, "{\"prompt\":[ [17,4],[4] ],\"best_of\":3}", 6, 0 },
    { CAP_RERANK, "{\"query\":\"ab\",\"documents\":[\"a\",\"b\",\"c\"]}", 1, 3 * (4 + 8) },
    { CAP_MODERATION, "{\"input\":[\"a\",\"b\"]}", 1, 0 },
};

static struct span text_span(const char *text)
{
    return (struct span){ text, strlen(text) };
}

START_TEST(test_cases)
{
    const struct ask_case *c = &cases[_i];
    struct ask ask = { .n = 0 };
    struct ask_error e = { "", "" };
    enum status s = ask_read(text_span(c->body), c->capability, &ask, &e);
    ck_assert_msg(s == c->want, "%s: %s (%s)", c->body, status_info(s)->name, e.message);
    ck_assert_str_eq(e.param, c->param);
    ck_assert_msg(s == STATUS_OK || *e.message, "%s: a refusal must say why", c->body);
}
END_TEST

START_TEST(test_bounds)
{
    struct ask ask = { .n = 0 };
    struct ask_error e;
    struct span body = text_span(bounds[_i].body);
    ck_assert_int_eq(ask_read(body, bounds[_i].capability, &ask, &e), STATUS_OK);
    ck_assert_uint_eq(ask.generated, bounds[_i].generated);
    ck_assert_uint_eq(ask.most.input_tokens_max, body.len + bounds[_i].extra);
}
END_TEST

/* A body of tensors: so much of it is JSON, and of the rest not one byte is looked at. */
static const struct {
    const char *body;
    uint64_t header_len;
    enum status want;
} tensor_cases[] = {
    { "{\"inputs\":[{}]}\xff\xfe{{{", 15, STATUS_OK },
    { "\xff\xfe", 0, STATUS_OK },
    { "", 0, STATUS_OK },
    { "{\"inputs\":[{}]}", 15, STATUS_OK },
    { "{\"inputs\":[{}]}", 16, STATUS_BAD_FIELD },
    { "{\"inputs\":[{}]}", UINT64_MAX, STATUS_BAD_FIELD },
    { "{\"inputs\":[{}]}", 14, STATUS_BAD_JSON },
    { "{\"inputs\":[{}]}x", 16, STATUS_BAD_JSON },
    { "{\"outputs\":[]}xx", 14, STATUS_MISSING_FIELD },
};

START_TEST(test_tensors)
{
    struct ask ask = { .n = 0 };
    struct ask_error e = { "", "" };
    struct span body = text_span(tensor_cases[_i].body);
    enum status s = ask_tensors(body, tensor_cases[_i].header_len, &ask, &e);
    ck_assert_msg(s == tensor_cases[_i].want, "%s", e.message);
    if (s != STATUS_OK)
        return;
    ck_assert(ask.n == 1 && ask.generated == 1);
    ck_assert_uint_eq(ask.most.tensor_elements_max, body.len);
    ck_assert_uint_eq(ask.most.input_tokens_max, 0);
}
END_TEST

static const char *const bodies[] = {
    "{\"model\":\"m\"," MESSAGES "}",
    " {" MESSAGES "}",
    "{\"model\":null," MESSAGES ",\"max_tokens\":999999}",
    "{\"model\":\"m\"," MESSAGES ",\"max_completion_tokens\":3,\"temperature\":1}",
    "{\"model\":\"m\"," MESSAGES ",\"stream\":true}",
    "{\"stream_options\":{},\"model\":\"m\"," MESSAGES ",\"stream\":true}",
    "{\"stream_options\":{\"x\":1},\"model\":\"m\"," MESSAGES ",\"stream\":true}",
    "{\"stream_options\":null,\"model\":\"m\"," MESSAGES ",\"stream\":true}",
    "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":false}," MESSAGES "}",
};

/* What the backend gets is valid JSON with what we decided, and keeps all the rest. */
START_TEST(test_rewrite)
{
    static const char *keys[] = { "temperature", "top_p", NULL };
    const struct catalog_recipe recipe = {
        .system_json = SPAN("{\"role\":\"system\",\"content\":\"be brief\"}"),
        .params_json = SPAN("\"temperature\":0.5,\"top_p\":0.25"),
        .param_keys = keys
    };
    struct ask ask = { .n = 0 };
    struct ask_error e;
    struct span body = text_span(bodies[_i]), out;
    char *memory = NULL;
    ck_assert_int_eq(ask_read(body, CAP_CHAT, &ask, &e), STATUS_OK);
    const struct rewrite how = { "served \"name\"", &recipe, 64, ask.stream };
    ck_assert_int_eq(rewrite_body(body, &ask, &how, &memory, &out), STATUS_OK);
    json_t *j = json_loadb(out.at, out.len, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(j != NULL, "%.*s", (int)out.len, out.at);
    ck_assert_str_eq(json_string_value(json_object_get(j, "model")), "served \"name\"");
    json_t *messages = json_object_get(j, "messages");
    ck_assert_uint_eq(json_array_size(messages), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(messages, 0), "role")),
                     "system");
    json_int_t cap = json_integer_value(json_object_get(j, "max_tokens")) +
                     json_integer_value(json_object_get(j, "max_completion_tokens"));
    ck_assert_int_eq(cap, _i == 3 ? 3 : 64);
    ck_assert(json_is_real(json_object_get(j, "top_p")));
    ck_assert_int_eq(json_is_integer(json_object_get(j, "temperature")), _i == 3);
    if (ask.stream)
        ck_assert(
            json_is_true(json_object_get(json_object_get(j, "stream_options"), "include_usage")));
    json_decref(j);
    free(memory);
}
END_TEST

/* Of completions: the name, the cap that the API's default stands for, and the usage chunk. */
START_TEST(test_rewrite_of_completions)
{
    struct ask ask = { .n = 0 };
    struct ask_error e;
    struct span body = SPAN("{\"prompt\":[1,2],\"stream\":true}"), out;
    char *memory = NULL;
    ck_assert_int_eq(ask_read(body, CAP_COMPLETIONS, &ask, &e), STATUS_OK);
    const struct rewrite how = { "m", NULL, 16, ask.stream };
    ck_assert_int_eq(rewrite_body(body, &ask, &how, &memory, &out), STATUS_OK);
    ck_assert(span_is(out, "{\"model\":\"m\",\"stream_options\":{\"include_usage\":true},"
                           "\"max_tokens\":16,\"prompt\":[1,2],\"stream\":true}"));
    free(memory);
}
END_TEST

Suite *ask_suite(void)
{
    Suite *s = suite_create("ask");
    TCase *t = tcase_create("bodies");
    tcase_add_loop_test(t, test_cases, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(t, test_tensors, 0, (int)(sizeof tensor_cases / sizeof *tensor_cases));
    tcase_add_loop_test(t, test_bounds, 0, (int)(sizeof bounds / sizeof *bounds));
    tcase_add_loop_test(t, test_rewrite, 0, (int)(sizeof bodies / sizeof *bodies));
    tcase_add_test(t, test_rewrite_of_completions);
    suite_add_tcase(s, t);
    return s;
}
