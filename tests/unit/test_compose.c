/* tests/unit/test_compose.c -- what an HTTP backend is composed of: as configured, by default,
 * refused where it would have no effect, printed so that it reads again, and in step with the rows
 * of backends/. */
#include "conf/compose.h"
#include "backends/dialect.h"
#include "backends/signer.h"
#include "conf/conf.h"
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HTTP   "backends:\n  w: {transport: http, address: 'http://h/v1', "
#define SECRET "secret_file: @, " /* @ stands for the path of a file with a secret */
#define CHAT                                                                                  \
    "models:\n  base/chat:\n    capabilities: [chat]\n    routes: [{backend: w, model: m}]\n" \
    "    price: {input_uncached_tokens: 0, output_text_tokens: 0}\n"
#define TENSORS                                                                             \
    "models:\n  base/x:\n    capabilities: [infer]\n    routes: [{backend: w, model: m}]\n" \
    "    price: {requests: 0}\n"

static char secret_path[64];

static void write_secret(void)
{
    snprintf(secret_path, sizeof secret_path, "/tmp/compose_secret_XXXXXX");
    int fd = mkstemp(secret_path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "sk-42\n", 6), 6);
    close(fd);
}

static void remove_secret(void)
{
    unlink(secret_path);
}

static enum status parse(const char *text, struct conf **ret, char err[static CONF_ERROR_BYTES])
{
    char whole[4096];
    const char *at = strchr(text, '@');
    int len =
        at ? snprintf(whole, sizeof whole, "%.*s%s%s", (int)(at - text), text, secret_path, at + 1)
           : snprintf(whole, sizeof whole, "%s", text);
    ck_assert_int_lt(len, (int)sizeof whole);
    return conf_parse("t.yaml", whole, (size_t)len, ret, err);
}

/* clang-format off */
static const struct {
    const char *label, *text, *error;
} bad[] = {
    { "dialect unknown", HTTP "dialect: anthropik}\n", "dialect: 'anthropik' is not one of openai|oip2" },
    { "dialect on shm", "backends:\n  w: {transport: shm, address: /w, dialect: oip2}\n",
      "backends.w: 'dialect' has no effect with transport shm" },
    { "headers on a socket", "backends:\n  w: {transport: socket, address: 'h:1', headers: {a: b}}\n",
      "backends.w: 'headers' has no effect with transport socket" },
    { "signer on shm", "backends:\n  w: {transport: shm, address: /w, signer: bearer}\n",
      "backends.w: 'signer' has no effect with transport shm" },
    { "map on shm", "backends:\n  w: {transport: shm, address: /w, error_map: openai}\n",
      "backends.w: 'error_map' has no effect with transport shm" },
    { "signer without a secret", HTTP "signer: header-key}\n",
      "backends.w.signer: needs a 'secret_file' with what it signs with" },
    { "name without a secret", HTTP "signer_name: api-key}\n",
      "backends.w: 'signer_name' has no effect with signer bearer" },
    { "name of a bearer", HTTP SECRET "signer: bearer, signer_name: a}\n",
      "backends.w: 'signer_name' has no effect with signer bearer" },
    { "name of a header", HTTP SECRET "signer: header-key, signer_name: 'a b'}\n",
      "backends.w.signer_name: 'a b' is not the name of a header for a key" },
    { "name of a reserved header", HTTP SECRET "signer: header-key, signer_name: Content-Length}\n",
      "backends.w.signer_name: 'Content-Length' is not the name of a header for a key" },
    { "name of a query", HTTP SECRET "signer: query-key, signer_name: 'a&b'}\n",
      "backends.w.signer_name: 'a&b' is not the name of a query parameter; expected letters, digits, '.', '_', '-'" },
    { "framer without streams", HTTP "dialect: oip2, framer: sse}\n",
      "backends.w: 'framer' has no effect: nothing streams in the dialect oip2" },
    { "usage of another dialect", HTTP "usage_map: oip2}\n",
      "backends.w.usage_map: oip2 has no effect: it counts nothing of the dialect openai" },
    { "no headers", HTTP "headers: {}}\n", "backends.w.headers: has 0 headers; expected 1 to 16" },
    { "header name", HTTP "headers: {'a b': c}}\n", "'a b' is not the name of a header" },
    { "header of a credential", HTTP "headers: {Authorization: c}}\n",
      "backends.w.headers: 'Authorization' carries a credential: put it into 'secret_file', with 'signer' bearer or header-key" },
    { "header of a key", HTTP "headers: {API-Key: c}}\n", "'API-Key' carries a credential" },
    { "hop header", HTTP "headers: {connection: close}}\n", "the header 'connection' is not yours to set" },
    { "host", HTTP "headers: {Host: a}}\n", "the header 'Host' is not yours to set" },
    { "length", HTTP "headers: {content-length: 3}}\n", "the header 'content-length' is not yours to set" },
    { "forwarded", HTTP "headers: {X-Forwarded-For: a}}\n", "the header 'X-Forwarded-For' is not yours to set" },
    { "request id", HTTP "headers: {x-request-id: a}}\n", "the header 'x-request-id' is not yours to set" },
    { "header twice", HTTP "headers: {x-a: 1, X-A: 2}}\n", "the header 'X-A' is given twice" },
    { "header value", HTTP "headers: {x-a: \"b\\r\\nx-c: d\"}}\n",
      "backends.w.headers.x-a: is not 1 to 1024 printable ASCII characters, without spaces at the ends" },
    { "header value empty", HTTP "headers: {x-a: ''}}\n", "is not 1 to 1024 printable ASCII" },
    { "header value spaces", HTTP "headers: {x-a: ' b'}}\n", "is not 1 to 1024 printable ASCII" },
    { "header value a list", HTTP "headers: {x-a: [b]}}\n", "expected a single value, not a list" },
    { "the signer's header", HTTP SECRET "signer: header-key, signer_name: x-my-key, headers: {X-My-Key: a}}\n",
      "backends.w: 'headers' sets 'x-my-key', which is the signer's" },
    { "tensors in openai", HTTP "}\n" TENSORS,
      "models.base/x.routes[0].backend: the model can be asked for infer, but the dialect openai of 'w' has no words for it; oip2 has" },
    { "chat in oip2", HTTP "dialect: oip2}\n" CHAT,
      "models.base/chat.routes[0].backend: the model can be asked for chat, but the dialect oip2 of 'w' has no words for it; openai has" },
    { "both at once", HTTP "}\nmodels:\n  base/x:\n    capabilities: [chat, infer]\n    routes: [{backend: w, model: m}]\n",
      "the model can be asked for infer, but the dialect openai of 'w' has no words for it; no dialect has" },
};
/* clang-format on */

START_TEST(test_bad)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    ck_assert_msg(parse(bad[_i].text, &c, err) == STATUS_BAD_FIELD, "%s: accepted", bad[_i].label);
    ck_assert_msg(strstr(err, bad[_i].error) != NULL, "%s: %s", bad[_i].label, err);
}
END_TEST

static struct conf *parsed(const char *text)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    enum status status = parse(text, &c, err);
    ck_assert_msg(status == STATUS_OK, "%s", err);
    return c;
}

START_TEST(test_defaults)
{
    struct conf *c = parsed(HTTP "}\n" CHAT);
    const struct compose *p = &c->catalog->backends[0].http, zero = { 0 };
    ck_assert(compose_same(p, &zero)); /* a plain server needs no words */
    conf_free(c);
    c = parsed(HTTP "dialect: oip2}\n" TENSORS);
    p = &c->catalog->backends[0].http;
    ck_assert_int_eq(p->dialect, DIALECT_OIP2);
    ck_assert_int_eq(p->usage, USAGE_MAP_OIP2);
    ck_assert_int_eq(p->errors, ERROR_MAP_OPENAI);
    conf_free(c);
}
END_TEST

static char *printed(const struct conf *c)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    conf_print(c, out);
    fclose(out);
    return text;
}

static const char *const good[] = {
    HTTP "}\n" CHAT,
    HTTP SECRET "}\n" CHAT,
    HTTP SECRET
    "signer: header-key, signer_name: api-key, framer: ndjson, error_map: silent, "
    "rate_limit_map: anthropic, headers: {OpenAI-Organization: org-1, x-b: 'c: d'}}\n" CHAT,
    HTTP SECRET "signer: header-key, signer_name: Authorization}\n" CHAT,
    HTTP SECRET "signer: query-key}\n" CHAT,
    HTTP SECRET "dialect: oip2, usage_map: openai}\n" TENSORS,
};

/* What is printed says all of it, reads again as the same, and has no secret in it. */
START_TEST(test_print)
{
    struct conf *c = parsed(good[_i]), *again = NULL;
    char err[CONF_ERROR_BYTES] = "";
    char *text = printed(c);
    ck_assert_ptr_null(strstr(text, "sk-42"));
    ck_assert_msg(conf_parse("p.yaml", text, strlen(text), &again, err) == STATUS_OK, "%s\n%s", err,
                  text);
    ck_assert(compose_same(&c->catalog->backends[0].http, &again->catalog->backends[0].http));
    char *text_again = printed(again);
    ck_assert_str_eq(text, text_again);
    free(text);
    free(text_again);
    conf_free(c);
    conf_free(again);
}
END_TEST

/* A change of any part is a change of the backend. */
START_TEST(test_same)
{
    static const struct header_row a[] = { { "x", "1" } }, b[] = { { "x", "2" } };
    struct compose plain = { .headers = a, .header_count = 1 }, other[] = {
        { .dialect = DIALECT_OIP2 },    { .signer = SIGNER_QUERY_KEY },
        { .framer = FRAMER_NDJSON },    { .usage = USAGE_MAP_OIP2 },
        { .errors = ERROR_MAP_SILENT }, { .rates = RATE_MAP_ANTHROPIC },
        { .signer_name = "key" },
    };
    ck_assert(compose_same(&plain, &plain));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        other[i].headers = a;
        other[i].header_count = 1;
        ck_assert(!compose_same(&plain, &other[i]));
    }
    struct compose less = { .header_count = 0 }, changed = { .headers = b, .header_count = 1 };
    ck_assert(!compose_same(&plain, &less));
    ck_assert(!compose_same(&plain, &changed));
    struct compose named = { .signer = SIGNER_HEADER_KEY, .signer_name = "x-api-key" };
    struct compose unnamed = { .signer = SIGNER_HEADER_KEY };
    ck_assert(compose_same(&named, &unnamed));
}
END_TEST

/* The configuration promises what backends/ can do, no more and no less. */
START_TEST(test_rows_in_step)
{
    for (enum dialect_id d = 0; d < DIALECT_COUNT; d++) {
        unsigned spoken = 0;
        for (unsigned bit = 0; capability_name(bit); bit++)
            if (dialect_path(dialect_find(d), 1 << bit))
                spoken |= 1u << bit;
        ck_assert_uint_eq(spoken, dialect_capabilities(d));
        ck_assert_uint_eq(dialect_find(d)->path_count, (size_t)__builtin_popcount(spoken));
    }
}
END_TEST

/* ---- signers ---- */

static const struct {
    struct compose http;
    const char *header, *query;
} signers[] = {
    { { .signer = SIGNER_BEARER }, "Authorization: Bearer a+/ ~", NULL },
    { { .signer = SIGNER_HEADER_KEY }, "x-api-key: a+/ ~", NULL },
    { { .signer = SIGNER_HEADER_KEY, .signer_name = "Authorization" },
      "Authorization: a+/ ~",
      NULL },
    { { .signer = SIGNER_QUERY_KEY }, NULL, "key=a%2B%2F%20~" },
    { { .signer = SIGNER_QUERY_KEY, .signer_name = "k" }, NULL, "k=a%2B%2F%20~" },
};

START_TEST(test_signers)
{
    char secret[] = "a+/ ~";
    struct catalog_backend b = { .secret = secret, .http = signers[_i].http };
    struct buf header, query;
    buf_init(&header, 100);
    buf_init(&query, 100);
    ck_assert(signer_header(&b, &header) && signer_query(&b, &query));
    ck_assert_pstr_eq(header.at, signers[_i].header);
    ck_assert_pstr_eq(query.at, signers[_i].query);
    ck_assert(signer_quoted(&b, "x a+/ ~") && signer_quoted(&b, "x=a%2b%2F%20~."));
    ck_assert(!signer_quoted(&b, "a+/"));
    signer_wipe(&header);
    signer_wipe(&query);
    b.secret = NULL;
    ck_assert(signer_header(&b, &header) && signer_query(&b, &query));
    ck_assert(!header.len && !query.len && !signer_quoted(&b, "null"));
}
END_TEST

Suite *compose_suite(void);
Suite *compose_suite(void)
{
    Suite *s = suite_create("compose");
    TCase *t = tcase_create("compose");
    tcase_add_checked_fixture(t, write_secret, remove_secret);
    tcase_add_loop_test(t, test_bad, 0, sizeof bad / sizeof *bad);
    tcase_add_test(t, test_defaults);
    tcase_add_loop_test(t, test_print, 0, sizeof good / sizeof *good);
    tcase_add_test(t, test_same);
    tcase_add_test(t, test_rows_in_step);
    tcase_add_loop_test(t, test_signers, 0, sizeof signers / sizeof *signers);
    suite_add_tcase(s, t);
    return s;
}
