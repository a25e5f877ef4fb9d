/* tests/unit/test_wire_format.c -- bodies and answers that are not JSON, and workers that cannot have them. */
#include "tests/helpers/fake_carrier.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static uv_loop_t loop;
static struct fake *fake;

struct probe {
    struct backend_call *call;
    unsigned ends;
    char bytes[64], type[WIRE_CONTENT_TYPE_MAX + 1];
    bool formatted, tensors;
    uint64_t header_len;
    struct backend_end end;
};

static void on_data(void *arg, const struct backend_data *d)
{
    struct probe *p = arg;
    size_t at = strlen(p->bytes);
    snprintf(p->bytes + at, sizeof p->bytes - at, "%.*s", (int)d->len, d->bytes);
    p->formatted = d->format != NULL;
    if (!d->format)
        return;
    snprintf(p->type, sizeof p->type, "%s", d->format->content_type);
    p->tensors = d->format->tensors;
    p->header_len = d->format->header_len;
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct probe *p = arg;
    p->ends++;
    p->end = *end;
}

static const struct backend_events events = { on_data, on_end };

static void open_fake(uint16_t version_max)
{
    uv_loop_init(&loop);
    fake_version_max = version_max;
    fake = fake_open(&loop, 8, 4);
    fake_version_max = WIRE_VERSION;
}

static void close_fake(void)
{
    fake_close(fake);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static enum status start(struct probe *p, struct backend_order o)
{
    o.rid = 9;
    o.capability = CAP_INFER;
    o.model = "m";
    o.public_model = "base/m";
    o.first_byte_timeout_ms = o.chunk_timeout_ms = o.total_timeout_ms = 1000;
    enum status s = session_start(&fake->session.base, &o, &events, p, &p->call);
    fake_turn(fake);
    return s;
}

/* ---- to the worker ---- */

static const struct sent_case {
    const char *label;
    struct backend_format format;
    const char *body;
    uint32_t header_len;
    const char *type;
} sent_cases[] = {
    { "tensors",
      { "application/octet-stream", true, 3 },
      "{ }\1\2",
      3,
      "application/octet-stream" },
    { "tensors without JSON", { NULL, true, 0 }, "\1\2\3", 0, "" },
    { "a form",
      { "multipart/form-data; boundary=b", false, 0 },
      "--b--",
      WIRE_NOT_TENSORS,
      "multipart/form-data; boundary=b" },
};

START_TEST(test_request_says_what_the_body_is)
{
    const struct sent_case *c = &sent_cases[_i];
    struct probe p = { 0 };
    struct wire_head h;
    struct wire_format f;
    const uint8_t *payload;
    size_t at = 0, names = sizeof(struct wire_request) + strlen("m") + strlen("base/m");
    open_fake(WIRE_VERSION);
    ck_assert_int_eq(start(&p, (struct backend_order){ .format = c->format,
                                                       .body = { c->body, strlen(c->body) } }),
                     STATUS_OK);
    ck_assert(fake_sent(fake, &at, &h, &payload));
    ck_assert_uint_eq(h.type, WIRE_REQUEST);
    ck_assert_uint_eq(h.flags, WIRE_LAST | WIRE_FORMAT);
    memcpy(&f, payload + names, sizeof f);
    ck_assert_uint_eq(f.header_len, c->header_len);
    ck_assert_uint_eq(f.content_type_len, strlen(c->type));
    ck_assert_uint_eq(h.len, names + sizeof f + strlen(c->type) + strlen(c->body));
    ck_assert_mem_eq(payload + names + sizeof f, c->type, strlen(c->type));
    ck_assert_mem_eq(payload + h.len - strlen(c->body), c->body, strlen(c->body));
    close_fake();
}
END_TEST

START_TEST(test_a_worker_of_version_1)
{
    struct probe p = { 0 }, json = { 0 };
    open_fake(1);
    ck_assert_uint_eq(fake->session.version, 1);
    ck_assert_int_eq(
        start(&p, (struct backend_order){ .format = { "a/b", false, 0 }, .body = SPAN("x") }),
        STATUS_NO_BACKEND);
    ck_assert_int_eq(start(&json, (struct backend_order){ .any_format = true, .body = SPAN("{}") }),
                     STATUS_OK);
    close_fake();
    ck_assert_uint_eq(p.ends, 0);
    ck_assert_uint_eq(json.ends, 1);
}
END_TEST

/* ---- from the worker ---- */

static void say(const struct probe *p, uint16_t flags, uint32_t header_len, uint16_t type_len,
                const char *rest, size_t rest_len)
{
    uint8_t payload[256] = { 0 };
    const struct wire_format f = { .header_len = header_len, .content_type_len = type_len };
    size_t at = sizeof(struct wire_data), format = flags & WIRE_FORMAT ? sizeof f : 0;
    memcpy(payload + at, &f, format);
    memcpy(payload + at + format, rest, rest_len);
    uint32_t len = (uint32_t)(at + format + rest_len);
    fake_say(fake, (struct wire_head){ len, WIRE_DATA, flags, p->call->slot, p->call->gen },
             payload);
}

static void say_final(const struct probe *p)
{
    struct wire_final f = { .code = 0 };
    fake_say(fake, (struct wire_head){ sizeof f, WIRE_FINAL, 0, p->call->slot, p->call->gen }, &f);
}

START_TEST(test_answer_says_what_it_is)
{
    struct probe p = { 0 }, next = { 0 };
    open_fake(WIRE_VERSION);
    ck_assert_int_eq(start(&p, (struct backend_order){ .any_format = true, .body = SPAN("{}") }),
                     STATUS_OK);
    say(&p, WIRE_FORMAT, 2, 9, "audio/wavRI", 11);
    say(&p, 0, 0, 0, "FF", 2);
    ck_assert(p.formatted && p.tensors); /* of every piece */
    say_final(&p);
    ck_assert_int_eq(p.end.status, STATUS_OK);
    ck_assert_str_eq(p.bytes, "RIFF");
    ck_assert_str_eq(p.type, "audio/wav");
    ck_assert_uint_eq(p.header_len, 2);
    /* the slot's next call knows nothing of it */
    ck_assert_int_eq(start(&next, (struct backend_order){ .any_format = true, .body = SPAN("{}") }),
                     STATUS_OK);
    ck_assert_ptr_eq(next.call, p.call);
    say(&next, 0, 0, 0, "{}", 2);
    say_final(&next);
    ck_assert(!next.formatted);
    ck_assert_str_eq(next.bytes, "{}");
    close_fake();
}
END_TEST

static const struct lie {
    const char *label;
    bool json_only, stream, late, twice;
    uint16_t version, type_len;
    size_t rest_len;
    const char *rest;
} lies[] = {
    { "JSON was asked for", .json_only = true, .type_len = 3, .rest = "a/b", .rest_len = 3 },
    { "of a stream", .stream = true, .type_len = 3, .rest = "a/b", .rest_len = 3 },
    { "after the first bytes", .late = true, .type_len = 3, .rest = "a/b", .rest_len = 3 },
    { "twice", .twice = true, .type_len = 3, .rest = "a/b", .rest_len = 3 },
    { "in version 1", .version = 1, .type_len = 3, .rest = "a/b", .rest_len = 3 },
    { "cut", .type_len = 4, .rest = "a/b", .rest_len = 3 },
    { "too long", .type_len = 128, .rest = "a/b", .rest_len = 200 },
    { "no type", .type_len = 0, .rest = "", .rest_len = 0 },
    { "no subtype", .type_len = 2, .rest = "a/", .rest_len = 2 },
    { "a second header", .type_len = 9, .rest = "a/b\r\nc: d", .rest_len = 9 },
    { "beyond ASCII", .type_len = 4, .rest = "a/b\xff", .rest_len = 4 },
};

START_TEST(test_lies)
{
    char rest[200] = { 0 };
    const struct lie *l = &lies[_i];
    struct probe p = { 0 };
    memcpy(rest, l->rest, strlen(l->rest));
    open_fake(l->version ? l->version : WIRE_VERSION);
    ck_assert_int_eq(start(&p, (struct backend_order){ .any_format = !l->json_only && !l->stream,
                                                       .stream = l->stream,
                                                       .body = SPAN("{}") }),
                     STATUS_OK);
    if (l->late)
        say(&p, 0, 0, 0, "x", 1);
    if (l->twice)
        say(&p, WIRE_FORMAT, WIRE_NOT_TENSORS, 3, "a/b", 3);
    ck_assert_uint_eq(p.ends, 0);
    say(&p, WIRE_FORMAT, WIRE_NOT_TENSORS, l->type_len, rest, l->rest_len);
    ck_assert_uint_eq(fake->session.base.stats.protocol_errors, 1);
    ck_assert_uint_eq(p.ends, 1);
    close_fake();
}
END_TEST

Suite *wire_format_suite(void);
Suite *wire_format_suite(void)
{
    Suite *s = suite_create("wire_format");
    TCase *t = tcase_create("wire_format");
    tcase_add_loop_test(t, test_request_says_what_the_body_is, 0,
                        sizeof sent_cases / sizeof *sent_cases);
    tcase_add_test(t, test_a_worker_of_version_1);
    tcase_add_test(t, test_answer_says_what_it_is);
    tcase_add_loop_test(t, test_lies, 0, sizeof lies / sizeof *lies);
    suite_add_tcase(s, t);
    return s;
}
