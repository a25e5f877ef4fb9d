/* tests/unit/test_maasworker.c -- libmaasworker against a gateway that is this test, byte by byte. */
#include "backends/wire.h"
#include "backends/worker/maasworker.h"
#include "base/usage.h"
#include "tests/helpers/contract_worker.h"
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct peer peer;
static int fd;
static struct wire_head head; /* of the last frame read */
static uint8_t payload[WIRE_FRAME_MAX + 1];

static void setup(void)
{
    contract_worker_start("unix", &peer);
    fd = -1;
}

static void teardown(void)
{
    if (fd >= 0)
        close(fd);
    contract_worker_stop(&peer);
}

/* ---- the wire ---- */

static bool read_bytes(void *to, size_t len)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    for (size_t at = 0; at < len;) {
        ck_assert_int_eq(poll(&p, 1, 20000), 1);
        ssize_t n = recv(fd, (char *)to + at, len - at, 0);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* False: the worker has closed the connection. */
static bool read_frame(void)
{
    if (!read_bytes(&head, sizeof head))
        return false;
    ck_assert_uint_le(head.len, WIRE_FRAME_MAX);
    if (!read_bytes(payload, head.len))
        return false;
    payload[head.len] = '\0';
    return true;
}

static void say(struct wire_head h, const void *bytes)
{
    ck_assert_int_eq(send(fd, &h, sizeof h, MSG_NOSIGNAL), sizeof h);
    if (h.len)
        ck_assert_int_eq(send(fd, bytes, h.len, MSG_NOSIGNAL), h.len);
}

static void hang_up(void)
{
    close(fd);
    fd = -1;
}

static void connect_worker(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "%.100s", peer.address + strlen("unix:"));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert(read_frame());
    ck_assert_uint_eq(head.type, WIRE_HELLO);
    ck_assert_uint_eq(head.len, sizeof(struct wire_hello));
}

static const struct wire_accept good_accept = { .magic = WIRE_MAGIC,
                                                .version = WIRE_VERSION,
                                                .slots = 2,
                                                .credit_bytes = WIRE_CREDIT_BYTES,
                                                .frame_max = WIRE_FRAME_MAX };

static void begin(void)
{
    connect_worker();
    say((struct wire_head){ .len = sizeof good_accept, .type = WIRE_ACCEPT }, &good_accept);
    ck_assert(read_frame());
    ck_assert_uint_eq(head.type, WIRE_READY);
}

static size_t make_request(uint8_t *to, const char *model, const char *body)
{
    struct wire_request r = { .rid = 5,
                              .body_len = strlen(body),
                              .capability = 1,
                              .model_len = (uint16_t)strlen(model),
                              .public_model_len = 4 };
    memcpy(to, &r, sizeof r);
    return sizeof r + (size_t)snprintf((char *)to + sizeof r, 200, "%sname%s", model, body);
}

static void request(const char *model, const char *body, uint16_t flags)
{
    uint8_t bytes[1024];
    size_t len = make_request(bytes, model, body);
    say((struct wire_head){ (uint32_t)len, WIRE_REQUEST, (uint16_t)(flags | WIRE_LAST), 1, 9 },
        bytes);
}

static const char *data(void)
{
    ck_assert(read_frame());
    ck_assert_uint_eq(head.type, WIRE_DATA);
    ck_assert_uint_eq(head.slot, 1);
    ck_assert_uint_eq(head.gen, 9);
    return (const char *)payload + sizeof(struct wire_data);
}

static struct wire_final final(void)
{
    struct wire_final f;
    ck_assert(read_frame());
    ck_assert_uint_eq(head.type, WIRE_FINAL);
    memcpy(&f, payload, sizeof f);
    return f;
}

/* ---- chat ---- */

static json_t *event(void)
{
    json_t *j = json_loads(data(), 0, NULL);
    ck_assert_ptr_nonnull(j);
    return j;
}

static const char *text_at(json_t *j, const char *part, const char *key)
{
    json_t *choice = json_array_get(json_object_get(j, "choices"), 0);
    return json_string_value(json_object_get(json_object_get(choice, part), key));
}

START_TEST(test_chat_stream)
{
    char whole[200] = "";
    int64_t prompt, completion, total, cached;
    begin();
    request("chat", "{\"x\":1}", WIRE_STREAM);
    for (int i = 0; i < 5; i++) {
        json_t *j = event();
        ck_assert_str_eq(json_string_value(json_object_get(j, "object")), "chat.completion.chunk");
        ck_assert_str_eq(json_string_value(json_object_get(j, "model")), "name");
        ck_assert_int_eq(text_at(j, "delta", "role") != NULL, i == 0);
        strncat(whole, text_at(j, "delta", "content"), 30);
        ck_assert_uint_eq(head.flags, WIRE_USAGE);
        json_decref(j);
    }
    ck_assert_str_eq(whole, "say \"h\xc3\xa9\\\n\x01 \xef\xbf\xbd.\xe4\xb8\xad");
    json_t *j = event();
    json_t *choice = json_array_get(json_object_get(j, "choices"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(choice, "finish_reason")), "stop");
    json_decref(j);
    j = event();
    ck_assert(head.flags & WIRE_USAGE_EVENT);
    ck_assert_uint_eq(json_array_size(json_object_get(j, "choices")), 0);
    ck_assert_int_eq(json_unpack(j, "{s:{s:I,s:I,s:I,s:{s:I}}}", "usage", "prompt_tokens", &prompt,
                                 "completion_tokens", &completion, "total_tokens", &total,
                                 "prompt_tokens_details", "cached_tokens", &cached),
                     0);
    json_decref(j);
    ck_assert_int_eq(prompt, 7 + 3);
    ck_assert_int_eq(completion, 5);
    ck_assert_int_eq(total, 15);
    ck_assert_int_eq(cached, 3);
    struct wire_final f = final();
    ck_assert_uint_eq(f.code, 0);
    ck_assert_uint_eq(f.qty[METER_INPUT_UNCACHED], 7);
    ck_assert_uint_eq(f.qty[METER_INPUT_CACHED], 3);
    ck_assert_uint_eq(f.qty[METER_OUTPUT_TEXT], 5);
    ck_assert_uint_eq(f.present, 1u << METER_INPUT_UNCACHED | 1u << METER_INPUT_CACHED |
                                     1u << METER_OUTPUT_TEXT);
}
END_TEST

START_TEST(test_chat_whole)
{
    begin();
    request("chat", "a\"b", 0);
    json_t *j = event();
    ck_assert_str_eq(json_string_value(json_object_get(j, "object")), "chat.completion");
    ck_assert_str_eq(text_at(j, "message", "role"), "assistant");
    ck_assert_str_eq(text_at(j, "message", "content"), "a\"b");
    ck_assert_ptr_nonnull(json_object_get(j, "usage"));
    json_decref(j);
    ck_assert_uint_eq(final().code, 0);
}
END_TEST

START_TEST(test_post_from_a_thread)
{
    begin();
    request("thread", "{}", 0);
    ck_assert_str_eq(data(), "later");
    ck_assert_uint_eq(final().code, 0);
}
END_TEST

START_TEST(test_counters_alone)
{
    struct wire_data counters;
    begin();
    request("counts", "12", WIRE_STREAM);
    data();
    ck_assert_uint_eq(head.len, sizeof counters);
    ck_assert_uint_eq(head.flags, WIRE_USAGE);
    memcpy(&counters, payload, sizeof counters);
    ck_assert_uint_eq(counters.input_tokens, 2);
    ck_assert_uint_eq(counters.output_tokens, 12);
    ck_assert_uint_eq(final().qty[METER_OUTPUT_TEXT], 12);
}
END_TEST

/* Nothing on the way says that no output has been made. */
START_TEST(test_output_not_counted)
{
    begin();
    request("blind", "9", WIRE_STREAM);
    for (int i = 0; i < 3; i++) { /* delta, end, usage */
        data();
        ck_assert_uint_eq(head.flags & WIRE_USAGE, 0);
    }
    struct wire_final f = final();
    ck_assert_uint_eq(f.present, 1u << METER_INPUT_UNCACHED);
    ck_assert_uint_eq(f.qty[METER_INPUT_UNCACHED], 9);
}
END_TEST

START_TEST(test_a_forked_child_holds_nothing)
{
    begin();
    request("forked", "{}", 0);
    ck_assert(!read_frame());
}
END_TEST

START_TEST(test_credit_holds_the_worker)
{
    size_t got = 0;
    begin();
    request("big", "300000", 0);
    while (got < WIRE_CREDIT_BYTES - WIRE_FRAME_MAX) {
        data();
        got += head.len;
    }
    ck_assert_uint_le(got, WIRE_CREDIT_BYTES);
    say((struct wire_head){ .type = WIRE_PING, .gen = 3 }, NULL);
    while (read_frame() && head.type == WIRE_DATA)
        got += head.len;
    ck_assert_uint_eq(head.type, WIRE_PONG);
    ck_assert_uint_eq(head.gen, 3);
    ck_assert_uint_le(got, WIRE_CREDIT_BYTES);
    struct wire_credit credit = { .bytes = (uint32_t)got };
    say((struct wire_head){ sizeof credit, WIRE_CREDIT, 0, 1, 9 }, &credit);
    while (read_frame() && head.type == WIRE_DATA)
        ;
    ck_assert_uint_eq(head.type, WIRE_FINAL);
}
END_TEST

START_TEST(test_cancel_before_the_body_is_complete)
{
    uint8_t bytes[256];
    begin();
    size_t len = make_request(bytes, "echo", "{}");
    bytes[8] = 100; /* body_len */
    say((struct wire_head){ (uint32_t)len, WIRE_REQUEST, 0, 1, 9 }, bytes);
    say((struct wire_head){ 0, WIRE_CANCEL, 0, 1, 9 }, NULL);
    ck_assert_uint_eq(final().code, 499);
    say((struct wire_head){ 2, WIRE_BODY, 0, 1, 9 }, "{}"); /* crossed FINAL: forgiven */
    request("echo", "{}", 0);
    ck_assert_str_eq(data(), "{}");
}
END_TEST

/* ---- what the bytes are ---- */

static void accept_version(uint16_t version)
{
    struct wire_accept a = good_accept;
    a.version = version;
    connect_worker();
    say((struct wire_head){ .len = sizeof a, .type = WIRE_ACCEPT }, &a);
    ck_assert(read_frame());
    ck_assert_uint_eq(head.type, WIRE_READY);
}

/* A REQUEST of `body` to the model "format", with a format before it. */
static void formatted(uint32_t header_len, const char *type, const char *body)
{
    uint8_t bytes[1024];
    struct wire_format f = { .header_len = header_len, .content_type_len = (uint16_t)strlen(type) };
    size_t at = make_request(bytes, "format", body) - strlen(body);
    memcpy(bytes + at, &f, sizeof f);
    int len = snprintf((char *)bytes + at + sizeof f, 200, "%s%s", type, body);
    say((struct wire_head){ (uint32_t)(at + sizeof f) + (uint32_t)len, WIRE_REQUEST,
                            WIRE_LAST | WIRE_FORMAT, 1, 9 },
        bytes);
}

START_TEST(test_format_both_ways)
{
    struct wire_format f;
    begin();
    formatted(2, "audio/x", "{}tensors");
    const char *at = data();
    ck_assert_uint_eq(head.flags, WIRE_FORMAT);
    memcpy(&f, at, sizeof f);
    ck_assert_uint_eq(f.header_len, 2);
    ck_assert_uint_eq(f.content_type_len, 7);
    ck_assert_str_eq(at + sizeof f, "audio/x{}tensors");
    final();
    request("format", "{}", 0); /* nothing of it is left in the slot */
    memcpy(&f, data(), sizeof f);
    ck_assert_uint_eq(f.header_len, WIRE_NOT_TENSORS);
    ck_assert_str_eq((const char *)payload + sizeof(struct wire_data) + sizeof f,
                     "application/json{}");
}
END_TEST

START_TEST(test_a_gateway_of_version_1)
{
    accept_version(1);
    request("format", "{}", 0); /* maas_call_format says no, so nothing is sent */
    final();
    request("echo", "{}", 0);
    ck_assert_str_eq(data(), "{}");
    final();
    formatted(2, "audio/x", "{}"); /* which version 1 has no words for */
    ck_assert(!read_frame());
}
END_TEST

START_TEST(test_header_beyond_the_body)
{
    begin();
    formatted(3, "audio/x", "{}");
    ck_assert(!read_frame());
}
END_TEST

/* ---- a gateway that lies ---- */

static const struct {
    const char *label;
    struct wire_head head;
    uint8_t bytes[64];
} lies[] = {
    { "an unknown type", { 0, 99, 0, 0, 0 }, { 0 } },
    { "a frame too long", { WIRE_FRAME_MAX + 1, WIRE_PING, 0, 0, 0 }, { 0 } },
    { "PING with a payload", { 4, WIRE_PING, 0, 0, 0 }, { 0 } },
    { "a slot beyond", { 40, WIRE_REQUEST, WIRE_LAST, 2, 1 }, { 0 } },
    { "a request that is short", { 31, WIRE_REQUEST, WIRE_LAST, 0, 1 }, { 0 } },
    { "names beyond the frame", { 40, WIRE_REQUEST, WIRE_LAST, 0, 1 }, { [28] = 9 } },
    { "more body than said", { 40, WIRE_REQUEST, 0, 0, 1 }, { [8] = 3 } },
    { "last, but not all", { 40, WIRE_REQUEST, WIRE_LAST, 0, 1 }, { [8] = 9 } },
    { "all, but not last", { 40, WIRE_REQUEST, 0, 0, 1 }, { [8] = 8 } },
    { "CREDIT of a wrong length", { 4, WIRE_CREDIT, 0, 0, 1 }, { 0 } },
    { "ACCEPT again", { 40, WIRE_ACCEPT, 0, 0, 0 }, { 0 } },
};

START_TEST(test_lies)
{
    begin();
    struct wire_head h = lies[_i].head;
    send(fd, &h, sizeof h, MSG_NOSIGNAL);
    send(fd, lies[_i].bytes, h.len < sizeof lies[_i].bytes ? h.len : sizeof lies[_i].bytes,
         MSG_NOSIGNAL);
    ck_assert(!read_frame());
    hang_up();
    begin();
    request("echo", "still here", 0);
    ck_assert_str_eq(data(), "still here");
}
END_TEST

START_TEST(test_too_much_credit)
{
    struct wire_credit credit = { .bytes = 1 };
    begin();
    request("silent", "{}", 0);
    say((struct wire_head){ sizeof credit, WIRE_CREDIT, 0, 1, 9 }, &credit);
    ck_assert(!read_frame());
}
END_TEST

START_TEST(test_bad_accept)
{
    struct wire_accept bad[] = { good_accept, good_accept, good_accept, good_accept, good_accept };
    bad[0].magic = 1;
    bad[1].version = WIRE_VERSION + 1;
    bad[2].slots = 0;
    bad[3].slots = 2000;
    bad[4].frame_max = WIRE_FRAME_MAX + 1;
    connect_worker();
    say((struct wire_head){ .len = sizeof *bad, .type = WIRE_ACCEPT }, &bad[_i]);
    ck_assert(!read_frame());
}
END_TEST

/* ---- journal and sockets ---- */

START_TEST(test_journal)
{
    char path[] = "/tmp/maas-journal-XXXXXX", text[1024] = "";
    int journal = mkstemp(path);
    contract_worker_stop(&peer);
    setenv("MAASWORKER_JOURNAL", path, 1);
    contract_worker_start("unix", &peer);
    unsetenv("MAASWORKER_JOURNAL");
    begin();
    request("echo", "{}", 0);
    data();
    final();
    request("silent", "{}", 0);
    say((struct wire_head){ 0, WIRE_CANCEL, 0, 1, 9 }, NULL);
    final();
    ck_assert_int_gt(read(journal, text, sizeof text - 1), 0);
    ck_assert_str_eq(text,
                     "{\"rid\":5,\"event\":\"start\",\"input_tokens\":0,\"output_tokens\":0}\n"
                     "{\"rid\":5,\"event\":\"final\",\"input_tokens\":2,\"output_tokens\":2}\n"
                     "{\"rid\":5,\"event\":\"start\",\"input_tokens\":0,\"output_tokens\":0}\n"
                     "{\"rid\":5,\"event\":\"cancel\",\"input_tokens\":0,\"output_tokens\":0}\n"
                     "{\"rid\":5,\"event\":\"final\",\"input_tokens\":2,\"output_tokens\":0}\n");
    close(journal);
    unlink(path);
}
END_TEST

static void nothing(struct maas_call *call, const struct maas_request *req, void *arg)
{
    (void)req;
    (void)arg;
    maas_call_finish(call, NULL);
}

static struct maas_worker *listen_at(const char *where, char err[256])
{
    struct maas_handler h = { .on_request = nothing };
    struct maas_options o = { .listen = where };
    return maas_worker_new(&o, &h, NULL, err);
}

START_TEST(test_sockets)
{
    char where[200], err[256] = "", path[160];
    struct stat st;
    ck_assert_ptr_null(listen_at(peer.address, err)); /* somebody listens there */
    ck_assert_ptr_nonnull(strstr(err, "replaced"));
    snprintf(path, sizeof path, "%s/file", peer.dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(where, sizeof where, "shm:%s", path);
    ck_assert_ptr_null(listen_at(where, err)); /* not a socket: not ours to remove */
    ck_assert_int_eq(unlink(path), 0);

    int stale = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    snprintf(a.sun_path, sizeof a.sun_path, "%.100s", path);
    ck_assert_int_eq(bind(stale, (struct sockaddr *)&a, sizeof a), 0);
    close(stale);
    mode_t old = umask(0022);
    struct maas_worker *w = listen_at(where, err);
    umask(old);
    ck_assert_msg(w != NULL, "%s", err);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0022, 0); /* connecting needs the right to write */
    ck_assert_int_eq(maas_worker_listen(w, "tcp:127.0.0.1:0", err), MAAS_OK);
    ck_assert_int_gt(maas_worker_port(w), 0);
    ck_assert_int_eq(maas_worker_listen(w, "ftp:x", err), MAAS_INVALID);
    maas_worker_stop(w);
    ck_assert_int_eq(maas_worker_run(w), MAAS_OK);
    maas_worker_free(w);
    ck_assert_int_eq(lstat(path, &st), -1);
}
END_TEST

Suite *maasworker_suite(void);
Suite *maasworker_suite(void)
{
    Suite *s = suite_create("maasworker");
    TCase *t = tcase_create("maasworker");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_chat_stream);
    tcase_add_test(t, test_chat_whole);
    tcase_add_test(t, test_post_from_a_thread);
    tcase_add_test(t, test_counters_alone);
    tcase_add_test(t, test_output_not_counted);
    tcase_add_test(t, test_a_forked_child_holds_nothing);
    tcase_add_test(t, test_credit_holds_the_worker);
    tcase_add_test(t, test_cancel_before_the_body_is_complete);
    tcase_add_test(t, test_format_both_ways);
    tcase_add_test(t, test_a_gateway_of_version_1);
    tcase_add_test(t, test_header_beyond_the_body);
    tcase_add_loop_test(t, test_lies, 0, sizeof lies / sizeof *lies);
    tcase_add_test(t, test_too_much_credit);
    tcase_add_loop_test(t, test_bad_accept, 0, 5);
    tcase_add_test(t, test_journal);
    tcase_add_test(t, test_sockets);
    suite_add_tcase(s, t);
    return s;
}
