/* tests/unit/test_error_map.c -- what upstreams say of errors, and what of it is passed on. */
#include "backends/error_map.h"
#include <check.h>

static char secret[] = "sk-a/b+c";
static const struct catalog_backend conf = { .secret = secret };

#define BUSY     "the model's backend is overloaded"
#define NO_MONEY "the model's backend refused the gateway's account"

static const struct {
    const char *label;
    long http; /* 0: an answer that says 200 */
    const char *body;
    enum status status;
    bool untouched;
    const char *message, *param;
} cases[] = {
    { "a mistake", 400, "{\"error\":{\"message\":\"bad role\",\"param\":\"messages\"}}",
      STATUS_BAD_REQUEST, false, "bad role", "messages" },
    { "too long", 400, "{\"error\":{\"message\":\"long\",\"code\":\"context_length_exceeded\"}}",
      STATUS_CONTEXT_LENGTH, false, "long", "" },
    { "too long, but its own fault", 500,
      "{\"error\":{\"message\":\"long\",\"code\":\"context_length_exceeded\"}}",
      STATUS_BACKEND_FAILED, false, "", "" },
    { "too long, in a stream", 0,
      "{\"error\":{\"message\":\"long\",\"code\":\"context_length_exceeded\"}}",
      STATUS_CONTEXT_LENGTH, false, "long", "" },
    { "a refused prompt", 400,
      "{\"error\":{\"message\":\"filtered\",\"param\":\"prompt\",\"code\":\"content_filter\"}}",
      STATUS_CONTENT_FILTER, false, "filtered", "prompt" },
    { "a refused picture", 400,
      "{\"error\":{\"message\":\"no\",\"code\":\"content_policy_violation\"}}",
      STATUS_CONTENT_FILTER, false, "no", "" },
    { "no such model", 400, "{\"error\":{\"message\":\"m?\",\"code\":\"model_not_found\"}}",
      STATUS_MODEL_NOT_FOUND, false, "m?", "" },
    { "busy", 429, "{\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}",
      STATUS_OVERLOADED, true, BUSY, "" },
    { "busy, in a stream", 0, "{\"error\":{\"message\":\"x\",\"code\":\"rate_limit_exceeded\"}}",
      STATUS_OVERLOADED, false, BUSY, "" },
    { "no money", 429, "{\"error\":{\"message\":\"pay\",\"code\":\"insufficient_quota\"}}",
      STATUS_BACKEND_FAILED, true, NO_MONEY, "" },
    { "late, says a gateway", 504, "{\"error\":{\"message\":\"x\",\"code\":\"deadline_exceeded\"}}",
      STATUS_DEADLINE, false, "", "" },
    { "late, says a gateway in a stream", 0,
      "{\"error\":{\"message\":\"x\",\"code\":\"deadline_exceeded\"}}", STATUS_DEADLINE, false, "",
      "" },
    { "late, says whoever stands before it", 504, "<html>", STATUS_BACKEND_FAILED, false, "", "" },
    { "a number as code", 0, "{\"error\":{\"message\":\"bad\",\"code\":422}}", STATUS_BAD_REQUEST,
      false, "bad", "" },
    { "a number that is no HTTP code", 0, "{\"error\":{\"message\":\"bad\",\"code\":1002}}",
      STATUS_BACKEND_FAILED, false, "", "" },
    { "of the Open Inference Protocol", 400, "{\"error\":\"unexpected shape for input\"}",
      STATUS_BAD_REQUEST, false, "unexpected shape for input", "" },
    { "quotes the secret", 400, "{\"error\":{\"message\":\"key sk-a/b+c is bad\"}}",
      STATUS_BAD_REQUEST, false, "", "" },
    { "quotes it escaped", 400, "{\"error\":{\"message\":\"key sk-a\\/b\\u002bc is bad\"}}",
      STATUS_BAD_REQUEST, false, "", "" },
    { "quotes it from the query", 400, "{\"error\":{\"message\":\"POST /v1?key=sk-a%2fb%2Bc\"}}",
      STATUS_BAD_REQUEST, false, "", "" },
};

static void check(const struct backend_end *end, size_t i)
{
    ck_assert_msg(end->status == cases[i].status, "%s: %s", cases[i].label,
                  status_info(end->status)->name);
    ck_assert_msg(end->untouched == cases[i].untouched, "%s", cases[i].label);
    ck_assert_msg(strcmp(end->message, cases[i].message) == 0, "%s: %s", cases[i].label,
                  end->message);
    ck_assert_str_eq(end->param, cases[i].param);
}

static void apply(const struct error_map *m, size_t i, struct backend_end *end)
{
    struct span body = { cases[i].body, strlen(cases[i].body) };
    if (cases[i].http)
        error_map_refused(m, cases[i].http, body, &conf, end);
    else
        ck_assert(error_map_object(m, body, true, &conf, end));
}

START_TEST(test_openai)
{
    struct backend_end end = { .status = STATUS_OK };
    apply(error_map_find(ERROR_MAP_OPENAI), (size_t)_i, &end);
    check(&end, (size_t)_i);
}
END_TEST

/* The same verdicts without a word of upstream's. */
START_TEST(test_silent)
{
    struct backend_end end = { .status = STATUS_OK };
    apply(error_map_find(ERROR_MAP_SILENT), (size_t)_i, &end);
    ck_assert_int_eq(end.status, cases[_i].status);
    ck_assert(end.untouched == cases[_i].untouched);
    ck_assert(!*end.message || strcmp(end.message, BUSY) == 0 ||
              strcmp(end.message, NO_MONEY) == 0);
    ck_assert_str_eq(end.param, "");
}
END_TEST

/* ---- vendors whose errors look otherwise need rows only ---- */

static const char *const fine[] = { "0", "20000", NULL };
static const struct error_row own_rows[] = {
    { 0, "1002", STATUS_OVERLOADED, false, true, BUSY },
    { 0, "TooLong", STATUS_CONTEXT_LENGTH, true, false, NULL },
};
static const struct error_map vendor = { .object = "base_resp",
                                         .message = "status_msg",
                                         .code = "status_code",
                                         .fine = fine,
                                         .rows = own_rows,
                                         .count = 2 };

static const struct {
    const char *text;
    bool told;
    enum status status;
    const char *message;
} vendor_rows[] = {
    { "{\"base_resp\":{\"status_code\":0,\"status_msg\":\"success\"}}", false, 0, "" },
    { "{\"base_resp\":{\"status_code\":\"20000\"}}", false, 0, "" },
    { "{\"base_resp\":{}}", false, 0, "" },
    { "{\"base_resp\":null}", false, 0, "" },
    { "{\"base_resp\":\"text\"}", false, 0, "" },
    { "{}", false, 0, "" },
    { "{\"base_resp\":{\"status_code\":1002,\"status_msg\":\"limit\"}}", true, STATUS_OVERLOADED,
      BUSY },
    { "{\"base_resp\":{\"status_code\":\"TooLong\",\"status_msg\":\"cut it\"}}", true,
      STATUS_CONTEXT_LENGTH, "cut it" },
    { "{\"base_resp\":{\"status_code\":9}}", true, STATUS_BACKEND_FAILED, "" },
};

START_TEST(test_vendor)
{
    struct backend_end end = { .status = STATUS_OK };
    struct span text = { vendor_rows[_i].text, strlen(vendor_rows[_i].text) };
    bool told = error_map_object(&vendor, text, true, &conf, &end);
    ck_assert(told == vendor_rows[_i].told);
    ck_assert_int_eq(end.status, vendor_rows[_i].status);
    ck_assert_str_eq(end.message, vendor_rows[_i].message);
}
END_TEST

/* After the first byte an error is a cut, whatever it says. */
START_TEST(test_later)
{
    struct backend_end end = { .status = STATUS_OK };
    ck_assert(error_map_object(error_map_find(ERROR_MAP_OPENAI),
                               SPAN("{\"error\":{\"message\":\"bad\",\"code\":400}}"), false, &conf,
                               &end));
    ck_assert_int_eq(end.status, STATUS_BACKEND_CUT);
    ck_assert_str_eq(end.message, "");
}
END_TEST

Suite *error_map_suite(void);
Suite *error_map_suite(void)
{
    Suite *s = suite_create("error_map");
    TCase *t = tcase_create("error_map");
    tcase_add_loop_test(t, test_openai, 0, sizeof cases / sizeof *cases);
    tcase_add_loop_test(t, test_silent, 0, sizeof cases / sizeof *cases);
    tcase_add_loop_test(t, test_vendor, 0, sizeof vendor_rows / sizeof *vendor_rows);
    tcase_add_test(t, test_later);
    suite_add_tcase(s, t);
    return s;
}
