/* tests/unit/test_http_h2_hostile.c -- what an HTTP/2 upstream may send that it must not, frame by frame.
 *
 * Beside each row a neighbour's call runs on the same connection, and a call follows: neither
 * may get a byte that is not its own, and what a frame costs is what RFC 9113 says of it. */
#include "tests/helpers/h2_bench.h"
#include <check.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))

enum costs {
    NOTHING, /* the answer is taken */
    LAST,    /* the answer is taken; the connection takes no new calls */
    STREAM,  /* the call is refused, the neighbour's is not; the connection takes no new calls */
    CONN,    /* the connection, with all that is on it */
};

enum {
    END_STREAM = NGHTTP2_FLAG_END_STREAM,
    END_HEADERS = NGHTTP2_FLAG_END_HEADERS,
    PADDED = NGHTTP2_FLAG_PADDED,
    FLOOD = 20000,
};
#define BYTES(text) .bytes = (text), .len = sizeof(text) - 1
#define FRAME(kind, bits, text)                              \
    {                                                        \
        .type = NGHTTP2_##kind, .flags = (bits), BYTES(text) \
    }
#define HEAD(text) FRAME(HEADERS, END_HEADERS, text)
#define DATA(text) FRAME(DATA, END_STREAM, text)
#define MORE(text) FRAME(DATA, 0, text)
#define ON(id, kind, bits, text)                                                                   \
    {                                                                                              \
        .type = NGHTTP2_##kind, .flags = (bits), BYTES(text), .other_stream = true, .stream = (id) \
    }
#define MANY(kind, bits, text, n)                                                                \
    {                                                                                            \
        .type = NGHTTP2_##kind, .flags = (bits), BYTES(text), .other_stream = true, .times = (n) \
    }
#define OWN(kind, bits, text, n)                                           \
    {                                                                      \
        .type = NGHTTP2_##kind, .flags = (bits), BYTES(text), .times = (n) \
    }
#define ANSWER HEAD(OK), DATA("{}")

/* Header blocks: an octet of 0x80 and more is a row of the static table; "\0" begins a field that no
 * table keeps, name and value each after its length (RFC 7541 6). */
#define OK "\x88" /* :status 200 */
#define LENGTH_2   \
    "\x0f\x0d\x01" \
    "2"
#define LENGTH_3   \
    "\x0f\x0d\x01" \
    "3"
#define STATUS(code) "\x08\x03" code
#define X_A(value_len, value) \
    "\0\x03"                  \
    "x-a" value_len value

#define DOTS_64 "................................................................"
#define DOTS_1K                                                                             \
    DOTS_64 DOTS_64 DOTS_64 DOTS_64 DOTS_64 DOTS_64 DOTS_64 DOTS_64 DOTS_64 DOTS_64 DOTS_64 \
        DOTS_64 DOTS_64 DOTS_64 DOTS_64 DOTS_64
#define DOTS_3K DOTS_1K DOTS_1K DOTS_1K
#define LEN_3K  "\x7f\x81\x17" /* 127 + 1 + 23 * 128 */
#define LEN_18K "\x7f\x81\x8f\x01"
#define X_3K \
    "\0\x03" \
    "x-a" LEN_3K DOTS_3K
#define BE_8 "\xbe\xbe\xbe\xbe\xbe\xbe\xbe\xbe" /* the newest row of the table */
#define BE_512                                                                                     \
    BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 \
        BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8  \
            BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8   \
                BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8 BE_8
#define BE_4K BE_512 BE_512 BE_512 BE_512 BE_512 BE_512 BE_512 BE_512

/* clang-format off */
static const struct {
    const char *label;
    enum costs costs;
    struct stub_h2_frame frames[6];
} rows[] = {
    { "an answer", NOTHING, { ANSWER } },
    { "with its length", NOTHING, { HEAD(OK LENGTH_2), DATA("{}") } },
    { "white space around a value", NOTHING, { HEAD(OK X_A("\x03", " v\t")), DATA("{}") } },
    { "trailers", NOTHING, { HEAD(OK), MORE("{}"), FRAME(HEADERS, END_HEADERS | END_STREAM, X_A("\x01", "v")) } },
    { "padding", NOTHING, { FRAME(HEADERS, END_HEADERS | PADDED, "\x02" OK "\0\0"), FRAME(DATA, END_STREAM | PADDED, "\x03{}\0\0\0") } },
    { "a head in pieces", NOTHING, { FRAME(HEADERS, 0, ""), FRAME(CONTINUATION, 0, OK), FRAME(CONTINUATION, END_HEADERS, ""), DATA("{}") } },
    { "interim", NOTHING, { HEAD(STATUS("103")), ANSWER } },

    /* lengths */
    { "more bytes than its length", STREAM, { HEAD(OK "\x0f\x0d\x01" "1"), DATA("{}") } },
    { "fewer", STREAM, { HEAD(OK LENGTH_3), DATA("{}") } },
    { "two lengths", STREAM, { HEAD(OK LENGTH_2 LENGTH_3), DATA("{}") } },
    { "twice the same", STREAM, { HEAD(OK LENGTH_2 LENGTH_2), DATA("{}") } },
    { "no number", STREAM, { HEAD(OK "\x0f\x0d\x02" "+2"), DATA("{}") } },
    { "a length in the trailers", STREAM, { HEAD(OK LENGTH_2), MORE("{}"), FRAME(HEADERS, END_HEADERS | END_STREAM, LENGTH_2) } },
    { "a length in an interim answer", STREAM, { HEAD(STATUS("103") LENGTH_2), ANSWER } },

    /* heads */
    { "capitals", STREAM, { HEAD(OK "\0\x01" "X\x01" "v"), DATA("{}") } },
    { "a blank in a name", STREAM, { HEAD(OK "\0\x03" "x a\x01" "v"), DATA("{}") } },
    { "a colon in a name", STREAM, { HEAD(OK "\0\x03" "x:a\x01" "v"), DATA("{}") } },
    { "no name", STREAM, { HEAD(OK "\0\0\x01" "v"), DATA("{}") } },
    { "a line end in a value", STREAM, { HEAD(OK X_A("\x06", "v\r\nx:y")), DATA("{}") } },
    { "NUL in a value", STREAM, { HEAD(OK X_A("\x03", "v\0w")), DATA("{}") } },
    { "a header of one connection", STREAM, { HEAD(OK "\0\x0a" "connection\x05" "close"), DATA("{}") } },
    { "chunks", STREAM, { HEAD(OK "\0\x11" "transfer-encoding\x07" "chunked"), DATA("{}") } },
    { "packed", STREAM, { HEAD(OK "\0\x10" "content-encoding\x04" "gzip"), DATA("{}") } },
    { "no status", STREAM, { HEAD(X_A("\x01", "v")), DATA("{}") } },
    { "two", STREAM, { HEAD(OK OK), DATA("{}") } },
    { "one after a field", STREAM, { HEAD(X_A("\x01", "v") OK), DATA("{}") } },
    { "a status of two digits", STREAM, { HEAD("\x08\x02" "20"), DATA("{}") } },
    { "letters", STREAM, { HEAD(STATUS("2x0")), DATA("{}") } },
    { "101", STREAM, { HEAD(STATUS("101")), ANSWER } },
    { "a pseudo header of requests", STREAM, { HEAD(OK "\x84"), DATA("{}") } },
    { "of nobody", STREAM, { HEAD(OK "\0\x05" ":what\x01" "v"), DATA("{}") } },
    { "in the trailers", STREAM, { HEAD(OK), MORE("{}"), FRAME(HEADERS, END_HEADERS | END_STREAM, OK) } },
    { "trailers that are not the end", STREAM, { HEAD(OK), MORE("{}"), HEAD(X_A("\x01", "v")), DATA("") } },
    { "interim and the end", STREAM, { FRAME(HEADERS, END_HEADERS | END_STREAM, STATUS("103")) } },
    { "no body", STREAM, { FRAME(HEADERS, END_HEADERS | END_STREAM, OK) } },
    { "bytes before the head", CONN, { DATA("{}") } },
    { "a line of 18K", STREAM, { FRAME(HEADERS, 0, OK "\0\x03" "x-a" LEN_18K), OWN(CONTINUATION, 0, DOTS_3K, 6), FRAME(CONTINUATION, END_HEADERS, ""), DATA("{}") } },
    { "lines of 3K", NOTHING, { FRAME(HEADERS, 0, OK), OWN(CONTINUATION, 0, X_3K, 6), FRAME(CONTINUATION, END_HEADERS, ""), DATA("{}") } },
    { "too many of them", STREAM, { FRAME(HEADERS, 0, OK), OWN(CONTINUATION, 0, X_3K X_3K X_3K X_3K, 6), FRAME(CONTINUATION, END_HEADERS, ""), DATA("{}") } },

    /* the table of fields */
    { "row 0", CONN, { HEAD("\x80"), DATA("{}") } },
    { "a row that is not there", CONN, { HEAD(OK "\xff\x10"), DATA("{}") } },
    { "a number without end", CONN, { HEAD(OK "\xff\xff\xff\xff\xff\xff\xff\xff\xff"), DATA("{}") } },
    { "a string that is cut", CONN, { HEAD(OK "\0\x7f" "x"), DATA("{}") } },
    { "no Huffman code", CONN, { HEAD(OK "\0\x01" "x\x84\xff\xff\xff\xff"), DATA("{}") } },
    { "a table larger than allowed", CONN, { HEAD("\x3f\xe1\xff\x03" OK), DATA("{}") } },

    /* frames where there may be none */
    { "bytes of the connection", CONN, { ON(0, DATA, 0, "{}"), ANSWER } },
    { "a head of the connection", CONN, { ON(0, HEADERS, END_HEADERS, OK), ANSWER } },
    { "bytes of a stream that is not open", CONN, { ON(99, DATA, 0, "{}"), ANSWER } },
    { "a head of one", CONN, { ON(99, HEADERS, END_HEADERS, OK), ANSWER } },
    { "of the server's own", CONN, { ON(2, HEADERS, END_HEADERS, OK), ANSWER } },
    { "bytes of that", CONN, { ON(2, DATA, 0, "{}"), ANSWER } },
    { "a promise", CONN, { FRAME(PUSH_PROMISE, END_HEADERS, "\0\0\0\2\x82\x84\x87"), ANSWER } },
    { "a reset of a stream that is not open", CONN, { ON(99, RST_STREAM, 0, "\0\0\0\x08"), ANSWER } },
    { "a head without end, then bytes", CONN, { FRAME(HEADERS, 0, OK), DATA("{}") } },
    { "and another stream", CONN, { FRAME(HEADERS, 0, OK), ON(0, PING, 0, "12345678"), ANSWER } },
    { "the end of no head", CONN, { FRAME(CONTINUATION, END_HEADERS, OK), ANSWER } },
    { "more padding than frame", CONN, { HEAD(OK), FRAME(DATA, END_STREAM | PADDED, "\x09{}") } },
    { "the same in a head", CONN, { FRAME(HEADERS, END_HEADERS | PADDED, "\x09" OK), DATA("{}") } },
    { "bytes after the end", NOTHING, { ANSWER, DATA("{\"other\":1}") } },
    { "a head after the end", NOTHING, { ANSWER, HEAD(OK) } },
    { "a kind that nobody knows", NOTHING, { OWN(ALTSVC + 99, 0xff, "what", 100), ANSWER } },
    { "another place for the service", NOTHING, { FRAME(ALTSVC, 0, "\0\0h2=\":1\""), ANSWER } },

    /* sizes and settings */
    { "a short PING", CONN, { ON(0, PING, 0, "1234"), ANSWER } },
    { "a PING of a stream", CONN, { FRAME(PING, 0, "12345678"), ANSWER } },
    { "an answer to no PING", NOTHING, { ON(0, PING, NGHTTP2_FLAG_ACK, "12345678"), ANSWER } },
    { "a short reset", CONN, { FRAME(RST_STREAM, 0, "\0\0"), ANSWER } },
    { "half a setting", CONN, { ON(0, SETTINGS, 0, "\0\3\0\0"), ANSWER } },
    { "a setting of a stream", CONN, { FRAME(SETTINGS, 0, ""), ANSWER } },
    { "an impossible window", CONN, { ON(0, SETTINGS, 0, "\0\4\xff\xff\xff\xff"), ANSWER } },
    { "impossible frames", CONN, { ON(0, SETTINGS, 0, "\0\5\0\0\0\1"), ANSWER } },
    { "pushes are wished", CONN, { ON(0, SETTINGS, 0, "\0\2\0\0\0\1"), ANSWER } },
    { "a window that grows by nothing", CONN, { ON(0, WINDOW_UPDATE, 0, "\0\0\0\0"), ANSWER } },
    { "a window beyond its limit", CONN, { ON(0, WINDOW_UPDATE, 0, "\x7f\xff\xff\xff"), ANSWER } },
    { "a stream's window likewise", STREAM, { FRAME(WINDOW_UPDATE, 0, "\x7f\xff\xff\xff"), ANSWER } },

    /* the end of the connection */
    { "the last call", LAST, { ON(0, GOAWAY, 0, "\x7f\xff\xff\xff\0\0\0\0"), ANSWER } },
    { "and an error", LAST, { ON(0, GOAWAY, 0, "\x7f\xff\xff\xff\0\0\0\x02" "trouble"), ANSWER } },
    { "a short GOAWAY", CONN, { ON(0, GOAWAY, 0, "\0\0\0\0"), ANSWER } },

    /* floods */
    { "many PINGs", CONN, { MANY(PING, 0, "12345678", FLOOD), ANSWER } },
    { "many settings", CONN, { MANY(SETTINGS, 0, "\0\3\0\0\0\x64", FLOOD), ANSWER } },
    { "a head in too many pieces", CONN, { FRAME(HEADERS, 0, OK), OWN(CONTINUATION, 0, "", FLOOD) } },
    { "priorities", NOTHING, { OWN(PRIORITY, 0, "\0\0\0\0\1", FLOOD), ANSWER } },
    { "windows", NOTHING, { MANY(WINDOW_UPDATE, 0, "\0\0\0\1", FLOOD), ANSWER } },
    { "empty frames", NOTHING, { HEAD(OK), OWN(DATA, 0, "", FLOOD), DATA("{}") } },
    { "a few bytes that mean many fields", STREAM, { FRAME(HEADERS, 0, OK "\x40\x01" "x" LEN_3K DOTS_3K), OWN(CONTINUATION, 0, BE_4K BE_4K BE_4K, 6), FRAME(CONTINUATION, END_HEADERS, ""), DATA("{}") } },
};
/* clang-format on */

static const char *name(const struct call *c)
{
    return status_info(c->end.status)->name;
}

START_TEST(test_frames)
{
    const struct stub_h2_step steps[] = { { .what = H2_LATE, .body = "{\"mine\":1}" },
                                          { .what = H2_FRAMES, .frames = rows[_i].frames },
                                          { .what = H2_ANSWER } };
    const char *label = rows[_i].label;
    enum costs costs = rows[_i].costs;
    struct h2_bench b = { .rig.h2 = true };
    struct call neighbour = { 0 }, c;
    h2_bench_open(&b, steps, 3, NULL);
    ck_assert_int_eq(rig_start(&b.rig, &neighbour, CAP_CHAT, false), STATUS_OK);
    h2_bench_wait(&b, 1);
    rig_chat(&b.rig, &c, false);
    enum status expected = costs == NOTHING || costs == LAST ? STATUS_OK : STATUS_BACKEND_GARBAGE;
    ck_assert_msg(c.end.status == expected, "%s: %s", label, name(&c));
    ck_assert_str_eq(c.data, expected == STATUS_OK ? "{};" : "");
    ck_assert(!c.end.untouched && !c.end.unanswered);
    rig_finish(&neighbour);
    ck_assert_msg(neighbour.end.status == (costs == CONN ? STATUS_BACKEND_GARBAGE : STATUS_OK),
                  "%s: the neighbour's %s", label, name(&neighbour));
    ck_assert_str_eq(neighbour.data, costs == CONN ? "" : "{\"mine\":1};");
    h2_bench_expect_ok(&b);
    unsigned connections = stub_h2_connections(b.stub);
    ck_assert_msg(connections == (costs == NOTHING ? 1 : 2), "%s: %u connections", label,
                  connections);
    h2_bench_close(&b);
}
END_TEST

#define TEN(text)  text text text text text text text text text text
#define EVENT      "data: {}\n\n"
#define EVENTS_10K TEN(TEN(TEN(EVENT)))

/* The reader is away, and more comes than was allowed: what was allowed is kept for it, no more. */
START_TEST(test_beyond_the_window)
{
    static const struct stub_h2_frame frames[] = {
        HEAD(OK "\x0f\x10\x11"
                "text/event-stream"),
        MORE(EVENT),
        OWN(DATA, 0, EVENTS_10K, 40),
        { .bytes = NULL },
    };
    const struct stub_h2_step steps[] = { { .what = H2_FRAMES, .frames = frames },
                                          { .what = H2_ANSWER } };
    struct h2_bench b = { .rig.h2 = true };
    struct call c = { .pause_at = 1 };
    h2_bench_open(&b, steps, 2, NULL);
    ck_assert_int_eq(rig_start(&b.rig, &c, CAP_CHAT, true), STATUS_OK);
    while (!c.pieces)
        uv_run(&b.rig.loop, UV_RUN_ONCE);
    h2_bench_expect_ok(&b);
    rig_spin(&b.rig, 50);
    ck_assert_uint_eq(c.ends, 0);
    rig_pause(&c, false);
    rig_finish(&c);
    ck_assert_msg(c.end.status == STATUS_BACKEND_GARBAGE, "%s", name(&c));
    ck_assert_uint_le(c.pieces, (256 << 10) / strlen(EVENT));
    h2_bench_expect_ok(&b);
    h2_bench_close(&b);
}
END_TEST

Suite *http_h2_hostile_suite(void);
Suite *http_h2_hostile_suite(void)
{
    Suite *s = suite_create("http_h2_hostile");
    TCase *t = tcase_create("http_h2_hostile");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_frames, 0, COUNT(rows));
    tcase_add_test(t, test_beyond_the_window);
    suite_add_tcase(s, t);
    return s;
}
