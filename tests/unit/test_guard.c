/* The framing guard, case by case: what must be refused, and with which status. */
#include "gateway/guard.h"
#include "gen/unit_suites.h"
#include <stdio.h>
#include <string.h>

struct head {
    const char *label, *version, *lines; /* "Name: value\n", as the server hands them over */
    bool body;
    enum status want;
};

#define HOST "Host: a\n"
#define GET(label, lines, want)                        \
    {                                                  \
        label, "HTTP/1.1", lines, false, STATUS_##want \
    }
#define POST(label, lines, want)                      \
    {                                                 \
        label, "HTTP/1.1", lines, true, STATUS_##want \
    }

static const struct head heads[] = {
    GET("plain", HOST, OK),
    GET("port", "Host: a:8080\n", OK),
    GET("ipv6", "Host: [::1]:8080\n", OK),
    GET("zero length", HOST "Content-Length: 0\n", OK),
    POST("length", HOST "Content-Length: 5\n", OK),
    POST("chunked", HOST "Transfer-Encoding: chunked\n", OK),
    POST("chunked, capitals", HOST "transfer-encoding: Chunked\n", OK),
    POST("expect", HOST "Content-Length: 5\nExpect: 100-continue\n", OK),
    POST("identity", HOST "Content-Length: 5\nContent-Encoding: identity\n", OK),
    POST("both keys", HOST "Authorization: Bearer a\nx-api-key: b\n", OK),
    GET("no host", "Accept: x\n", BAD_FRAMING),
    { "no host in 1.0", "HTTP/1.0", "Accept: x\n", false, STATUS_OK },
    GET("two hosts", HOST HOST, BAD_FRAMING),
    GET("host list", "Host: a, b\n", BAD_FRAMING),
    GET("host with user", "Host: u@a\n", BAD_FRAMING),
    GET("host with path", "Host: a/b\n", BAD_FRAMING),
    POST("two lengths", HOST "Content-Length: 5\nContent-Length: 5\n", BAD_FRAMING),
    POST("differing lengths", HOST "Content-Length: 5\nContent-Length: 6\n", BAD_FRAMING),
    POST("length list", HOST "Content-Length: 5, 5\n", BAD_FRAMING),
    POST("length plus", HOST "Content-Length: +5\n", BAD_FRAMING),
    POST("length minus", HOST "Content-Length: -5\n", BAD_FRAMING),
    POST("length hex", HOST "Content-Length: 0x5\n", BAD_FRAMING),
    POST("length underscore", HOST "Content-Length: 5_0\n", BAD_FRAMING),
    POST("length octal", HOST "Content-Length: 010\n", BAD_FRAMING),
    POST("length empty", HOST "Content-Length: \n", BAD_FRAMING),
    POST("length 2^64", HOST "Content-Length: 18446744073709551616\n", BAD_FRAMING),
    POST("length 10^30", HOST "Content-Length: 1000000000000000000000000000000\n", BAD_FRAMING),
    POST("length and coding", HOST "Content-Length: 5\nTransfer-Encoding: chunked\n", BAD_FRAMING),
    POST("coding and length", HOST "Transfer-Encoding: chunked\nContent-Length: 5\n", BAD_FRAMING),
    POST("two codings", HOST "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
         BAD_FRAMING),
    POST("coding twice", HOST "Transfer-Encoding: chunked, chunked\n", TE_NOT_SUPPORTED),
    POST("coding xchunked", HOST "Transfer-Encoding: xchunked\n", TE_NOT_SUPPORTED),
    POST("coding gzip", HOST "Transfer-Encoding: gzip, chunked\n", TE_NOT_SUPPORTED),
    POST("coding parameter", HOST "Transfer-Encoding: chunked;q=1\n", TE_NOT_SUPPORTED),
    POST("coding identity", HOST "Transfer-Encoding: identity\n", TE_NOT_SUPPORTED),
    POST("coding vertical tab", HOST "Transfer-Encoding: \vchunked\n", BAD_FRAMING),
    POST("coding nbsp",
         HOST "Transfer-Encoding: \xa0"
              "chunked\n",
         BAD_FRAMING),
    { "coding in 1.0", "HTTP/1.0", HOST "Transfer-Encoding: chunked\n", true, STATUS_BAD_FRAMING },
    GET("body on GET", HOST "Content-Length: 5\n", BAD_FRAMING),
    GET("chunks on GET", HOST "Transfer-Encoding: chunked\n", BAD_FRAMING),
    POST("two authorizations", HOST "Authorization: a\nAuthorization: b\n", BAD_FRAMING),
    POST("two api keys", HOST "x-api-key: a\nx-api-key: b\n", BAD_FRAMING),
    POST("api-key twice by other names", HOST "x-api-key: a\napi-key: b\n", BAD_FRAMING),
    POST("gzip body", HOST "Content-Encoding: gzip\n", UNSUPPORTED_MEDIA),
    POST("odd expectation", HOST "Expect: 200-ok\n", BAD_FRAMING),
    GET("name with space", HOST "X y: 1\n", BAD_FRAMING),
    GET("name with bracket", HOST "X[]: 1\n", BAD_FRAMING),
    GET("empty name", HOST ": 1\n", BAD_FRAMING),
    GET("name with high byte", HOST "X\xe9: 1\n", BAD_FRAMING),
    GET("bell in value", HOST "X: a\x07z\n", BAD_FRAMING),
    GET("carriage return in value", HOST "X: a\rz\n", BAD_FRAMING),
    GET("delete in value", HOST "X: a\x7fz\n", BAD_FRAMING),
    GET("tab in value", HOST "X: a\tz\n", OK),
};

static enum status judge(const struct head *h, unsigned fields_max)
{
    struct guard g = { .fields = 0 };
    for (const char *line = h->lines; *line; line = strchr(line, '\n') + 1) {
        const char *colon = strstr(line, ": "), *end = strchr(line, '\n');
        guard_header(&g, (struct span){ line, (size_t)(colon - line) },
                     (struct span){ colon + 2, (size_t)(end - colon - 2) }, fields_max);
    }
    enum status s = guard_finish(&g, h->version, h->body);
    ck_assert_msg(s == STATUS_OK || (g.what && *g.what), "%s: a refusal must say why", h->label);
    return s;
}

START_TEST(test_heads)
{
    const struct head *h = &heads[_i];
    enum status s = judge(h, 100);
    ck_assert_msg(s == h->want, "%s: %s, wanted %s", h->label, status_info(s)->name,
                  status_info(h->want)->name);
}
END_TEST

START_TEST(test_nul_in_a_value)
{
    struct guard g = { .fields = 0 };
    guard_header(&g, SPAN("Host"), SPAN("a\0b"), 100);
    ck_assert_int_eq(guard_finish(&g, "HTTP/1.1", false), STATUS_BAD_FRAMING);
}
END_TEST

START_TEST(test_too_many_fields)
{
    struct head h = { "three", "HTTP/1.1", HOST "A: 1\nB: 2\n", false, STATUS_OK };
    ck_assert_int_eq(judge(&h, 3), STATUS_OK);
    ck_assert_int_eq(judge(&h, 2), STATUS_HEADERS_TOO_LARGE);
}
END_TEST

/* Whoever is refused learns which header it was. */
START_TEST(test_what_came_twice)
{
    static const char *const names[] = { "Authorization", "x-api-key", "Content-Type",
                                         "Content-Encoding", "Expect" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct span name = { names[i], strlen(names[i]) };
        struct span value = i == 3 ? SPAN("identity") : SPAN("100-continue");
        struct guard g = { .fields = 0 };
        guard_header(&g, SPAN("Host"), SPAN("a"), 100);
        guard_header(&g, name, value, 100);
        ck_assert_int_eq(guard_finish(&g, "HTTP/1.1", true), STATUS_OK);
        guard_header(&g, name, value, 100);
        ck_assert_int_eq(guard_finish(&g, "HTTP/1.1", true), STATUS_BAD_FRAMING);
        ck_assert_ptr_nonnull(strstr(g.what, names[i]));
    }
}
END_TEST

Suite *guard_suite(void)
{
    Suite *s = suite_create("guard");
    TCase *t = tcase_create("heads");
    tcase_add_loop_test(t, test_heads, 0, (int)(sizeof heads / sizeof *heads));
    tcase_add_test(t, test_nul_in_a_value);
    tcase_add_test(t, test_too_many_fields);
    tcase_add_test(t, test_what_came_twice);
    suite_add_tcase(s, t);
    return s;
}
