/* tests/unit/test_session.c -- a worker that lies, and clocks, without a worker and without waiting. */
#include "tests/helpers/fake_carrier.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static uv_loop_t loop;
static struct fake *fake;
static bool over; /* the test's probes are gone; what still ends at close is nobody's */

struct probe {
    struct backend_call *call;
    unsigned ends, events;
    size_t bytes;
    char last[64];
    struct backend_end end;
};

static void on_data(void *arg, const struct backend_data *d)
{
    struct probe *p = arg;
    p->events++;
    p->bytes += d->len;
    snprintf(p->last, sizeof p->last, "%.*s", (int)(d->len < 60 ? d->len : 60), d->bytes);
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct probe *p = arg;
    if (over)
        return;
    p->ends++;
    p->end = *end;
}

static const struct backend_events events = { on_data, on_end };

static void setup(void)
{
    over = false;
    uv_loop_init(&loop);
    fake = fake_open(&loop, 8, 4);
}

static void teardown(void)
{
    over = true;
    fake_close(fake);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

static enum status try_start(struct probe *p, bool stream, struct span body)
{
    struct backend_order o = { .rid = 9,
                               .capability = CAP_CHAT,
                               .model = "m",
                               .public_model = "base/m",
                               .stream = stream,
                               .body = body,
                               .max_out = UINT64_MAX,
                               .first_byte_timeout_ms = 1000,
                               .chunk_timeout_ms = 500,
                               .total_timeout_ms = 5000 };
    return session_start(&fake->session.base, &o, &events, p, &p->call);
}

static void start(struct probe *p)
{
    ck_assert_int_eq(try_start(p, true, SPAN("{}")), STATUS_OK);
    fake_turn(fake);
}

static void say_data(struct backend_call *c, uint16_t flags, uint32_t output, const char *text,
                     size_t len)
{
    uint8_t *payload = malloc(sizeof(struct wire_data) + len);
    struct wire_data d = { .output_tokens = output };
    memcpy(payload, &d, sizeof d);
    memcpy(payload + sizeof d, text, len);
    fake_say(fake,
             (struct wire_head){ (uint32_t)(sizeof d + len), WIRE_DATA, flags, c->slot, c->gen },
             payload);
    free(payload);
}

static void say_final(const struct backend_call *c, uint32_t gen, uint32_t code, uint64_t output)
{
    struct wire_final f = { .code = code,
                            .present = 1u << METER_OUTPUT_TEXT,
                            .qty[METER_OUTPUT_TEXT] = output };
    fake_say(fake, (struct wire_head){ sizeof f, WIRE_FINAL, WIRE_USAGE, c->slot, gen }, &f);
}

static void pass(int64_t ms)
{
    fake_now_ms += ms;
    session_calls_clock(&fake->session);
    fake_turn(fake);
}

/* ---- lies ---- */

struct lie {
    const char *label;
    uint16_t type, flags;
    uint32_t slot, gen_step, len; /* of the call's own generation; len of the payload */
    uint32_t output;              /* counter of DATA */
    uint64_t final_output;
    uint32_t final_present;
    bool after_final, forgiven;
};

static const struct lie lies[] = {
    { "an unknown type", .type = 99 },
    { "an unknown type that may be ignored", .type = 0x8001, .forgiven = true },
    { "a frame that only the gateway sends", .type = WIRE_REQUEST },
    { "HELLO again", .type = WIRE_HELLO, .len = 64 },
    { "PAD", .type = WIRE_PAD },
    { "a slot beyond those given", .type = WIRE_DATA, .slot = 4, .len = 20 },
    { "a slot far away", .type = WIRE_FINAL, .slot = UINT32_MAX, .len = 136 },
    { "a slot that is free", .type = WIRE_DATA, .slot = 1, .len = 20 },
    { "a generation to come", .type = WIRE_DATA, .gen_step = 1, .len = 20 },
    { "a generation long gone", .type = WIRE_DATA, .gen_step = UINT32_MAX, .len = 20,
      .forgiven = true },
    { "DATA without counters", .type = WIRE_DATA, .len = 15 },
    { "a counter that decreases", .type = WIRE_DATA, .flags = WIRE_USAGE, .len = 20, .output = 4 },
    { "a counter that stays", .type = WIRE_DATA, .flags = WIRE_USAGE, .len = 20, .output = 5,
      .forgiven = true },
    { "FINAL that is short", .type = WIRE_FINAL, .len = 135 },
    { "FINAL that is long", .type = WIRE_FINAL, .len = 136 + 201 },
    { "FINAL that counts less than DATA", .type = WIRE_FINAL, .flags = WIRE_USAGE, .len = 136,
      .final_output = 4 },
    { "FINAL beyond int64", .type = WIRE_FINAL, .flags = WIRE_USAGE, .len = 136,
      .final_output = UINT64_MAX },
    { "FINAL with a meter that has no place", .type = WIRE_FINAL, .flags = WIRE_USAGE, .len = 136,
      .final_output = 5, .final_present = 1u << WIRE_METERS },
    { "a second FINAL", .type = WIRE_FINAL, .len = 136, .after_final = true },
    { "DATA after FINAL", .type = WIRE_DATA, .len = 20, .after_final = true },
};

START_TEST(test_lies)
{
    const struct lie *l = &lies[_i];
    struct probe p = { 0 }, other = { 0 };
    uint8_t payload[512] = { 0 };
    start(&p);
    say_data(p.call, WIRE_USAGE, 5, "x", 1);
    uint32_t slot = p.call->slot, gen = p.call->gen;
    if (l->after_final)
        say_final(p.call, gen, 0, 5);
    struct wire_data d = { .output_tokens = l->output };
    struct wire_final f = { .present = 1u << METER_OUTPUT_TEXT | l->final_present,
                            .qty[METER_OUTPUT_TEXT] = l->final_output };
    if (l->type == WIRE_FINAL)
        memcpy(payload, &f, sizeof f);
    else
        memcpy(payload, &d, sizeof d);
    fake_say(fake,
             (struct wire_head){ l->len, l->type, l->flags, slot + l->slot, gen + l->gen_step },
             payload);
    ck_assert_uint_eq(fake->session.base.stats.protocol_errors, l->forgiven ? 0 : 1);
    ck_assert_uint_eq(p.ends, l->forgiven ? 0 : 1);
    if (!l->forgiven) {
        ck_assert_int_eq(p.end.status, l->after_final ? STATUS_OK : STATUS_BACKEND_CUT);
        ck_assert_int_eq(try_start(&other, true, SPAN("{}")), STATUS_NO_BACKEND);
    }
}
END_TEST

START_TEST(test_stale_generation_reaches_nobody)
{
    struct probe old = { 0 }, new = { 0 };
    start(&old);
    uint32_t gen = old.call->gen;
    say_final(old.call, gen, 0, 0);
    start(&new);
    ck_assert_ptr_eq(new.call, old.call);
    struct wire_data d[2] = { 0 };
    fake_say(fake, (struct wire_head){ 20, WIRE_DATA, 0, 0, gen }, d);
    say_final(old.call, gen, 0, 0);
    ck_assert_uint_eq(new.events + new.ends, 0);
    ck_assert_uint_eq(fake->session.stale_frames, 2);
    ck_assert_uint_eq(fake->session.base.stats.protocol_errors, 0);
}
END_TEST

START_TEST(test_credit)
{
    static char text[WIRE_FRAME_MAX];
    struct probe p = { 0 };
    size_t len = sizeof text - sizeof(struct wire_data);
    start(&p);
    session_pause(p.call, true);
    for (int i = 0; i < WIRE_CREDIT_BYTES / WIRE_FRAME_MAX; i++)
        say_data(p.call, 0, 0, text, len);
    fake_turn(fake);
    ck_assert_uint_eq(fake_count_sent(fake, WIRE_CREDIT), 0);
    ck_assert_uint_eq(p.ends, 0);
    session_pause(p.call, false);
    fake_turn(fake);
    ck_assert_uint_eq(fake_count_sent(fake, WIRE_CREDIT), 1);
    for (int i = 0; i < WIRE_CREDIT_BYTES / WIRE_FRAME_MAX; i++)
        say_data(p.call, 0, 0, text, len);
    ck_assert_uint_eq(p.ends, 0);
    say_data(p.call, 0, 0, "x", 1); /* nothing was returned in this turn */
    ck_assert_uint_eq(p.ends, 1);
    ck_assert_uint_eq(fake->session.base.stats.protocol_errors, 1);
}
END_TEST

START_TEST(test_flood)
{
    struct probe p = { 0 };
    start(&p);
    for (int i = 0; i < SESSION_USELESS_MAX; i++)
        fake_say(fake, (struct wire_head){ .type = 0x8000 }, NULL);
    say_data(p.call, 0, 0, "x", 1);
    for (int i = 0; i < SESSION_USELESS_MAX; i++)
        fake_say(fake, (struct wire_head){ .type = WIRE_PONG, .gen = 77 }, NULL);
    ck_assert_uint_eq(p.ends, 0);
    fake_say(fake, (struct wire_head){ .type = WIRE_PONG, .gen = 77 }, NULL);
    ck_assert_uint_eq(p.ends, 1);
}
END_TEST

START_TEST(test_event_in_pieces)
{
    struct probe p = { 0 };
    start(&p);
    say_data(p.call, WIRE_MORE, 0, "{\"a\"", 4);
    say_data(p.call, WIRE_MORE, 0, ":1", 2);
    say_data(p.call, WIRE_MORE, 0, "", 0);
    ck_assert_uint_eq(p.events, 0);
    say_data(p.call, WIRE_MORE, 0, "}", 1);
    say_data(p.call, 0, 0, "", 0);
    ck_assert_uint_eq(p.events, 1);
    ck_assert_str_eq(p.last, "{\"a\":1}");
    say_data(p.call, 0, 0, "", 0); /* only counts */
    ck_assert_uint_eq(p.events, 1);
    say_data(p.call, WIRE_MORE, 0, "{", 1);
    say_final(p.call, p.call->gen, 0, 0);
    ck_assert_int_eq(p.end.status, STATUS_BACKEND_CUT);
    ck_assert_uint_eq(fake->session.base.stats.protocol_errors, 1);
}
END_TEST

START_TEST(test_endless_event)
{
    static char text[WIRE_FRAME_MAX - 16];
    struct probe p = { 0 };
    start(&p);
    for (int i = 0; i < 40 && !p.ends; i++) {
        say_data(p.call, WIRE_MORE, 0, text, sizeof text);
        fake_turn(fake);
    }
    ck_assert_uint_eq(p.ends, 1);
    ck_assert_uint_eq(p.events, 0);
    ck_assert_uint_eq(fake->session.base.stats.protocol_errors, 1);
}
END_TEST

/* ---- handshake ---- */

static const struct {
    const char *label;
    struct wire_hello hello;
    uint16_t type;
    bool ok;
} hellos[] = {
    { "right", { WIRE_MAGIC, 1, 1, 4, 1, "w" }, WIRE_HELLO, true },
    { "newer too", { WIRE_MAGIC, 1, 9, 4, 1, "w" }, WIRE_HELLO, true },
    { "only newer", { WIRE_MAGIC, WIRE_VERSION + 1, 9, 4, 1, "w" }, WIRE_HELLO, false },
    { "from 2 to 1", { WIRE_MAGIC, 2, 1, 4, 1, "w" }, WIRE_HELLO, false },
    { "version 0", { WIRE_MAGIC, 0, 0, 4, 1, "w" }, WIRE_HELLO, false },
    { "wrong magic", { 1, 1, 1, 4, 1, "w" }, WIRE_HELLO, false },
    { "no slots", { WIRE_MAGIC, 1, 1, 0, 1, "w" }, WIRE_HELLO, false },
    { "too many slots", { WIRE_MAGIC, 1, 1, WIRE_SLOTS_MAX + 1, 1, "w" }, WIRE_HELLO, false },
    { "another frame", { WIRE_MAGIC, 1, 1, 4, 1, "w" }, WIRE_DATA, false },
};

START_TEST(test_hello)
{
    session_lost(&fake->session, "again");
    fake_dialled(fake);
    struct wire_hello hello = hellos[_i].hello;
    fake_say(fake, (struct wire_head){ .len = sizeof hello, .type = hellos[_i].type }, &hello);
    ck_assert_int_eq(fake->session.state, hellos[_i].ok ? SESSION_READY : SESSION_DOWN);
    ck_assert_uint_eq(fake->session.base.stats.protocol_errors, hellos[_i].ok ? 0 : 1);
}
END_TEST

/* ---- calls and clocks ---- */

START_TEST(test_slots)
{
    struct probe p[5] = { 0 };
    for (int i = 0; i < 4; i++)
        start(&p[i]);
    ck_assert_int_eq(try_start(&p[4], true, SPAN("{}")), STATUS_OVERLOADED);
    say_final(p[2].call, p[2].call->gen, 0, 0);
    ck_assert_int_eq(try_start(&p[4], true, SPAN("{}")), STATUS_OK);
    ck_assert_uint_eq(fake->session.base.stats.running, 4);
    session_lost(&fake->session, "gone");
    for (int i = 0; i < 5; i++)
        ck_assert_uint_eq(p[i].ends, 1);
    ck_assert_int_eq(p[0].end.status, STATUS_BACKEND_FAILED);
    ck_assert(!p[0].end.untouched);
    ck_assert(p[4].end.untouched); /* its REQUEST had not been sent yet */
    for (int i = 0; i < 5; i++) {  /* one death is one failure, however many calls it took along */
        ck_assert(p[i].end.unanswered == (i != 2));
        ck_assert_int_eq(p[i].end.health, i == 0   ? HEALTH_BAD
                                          : i == 2 ? HEALTH_GOOD
                                                   : HEALTH_UNKNOWN);
    }
}
END_TEST

START_TEST(test_cancel_waits_for_the_count)
{
    struct probe p = { 0 };
    start(&p);
    session_cancel(p.call);
    ck_assert_uint_eq(p.ends, 0);
    fake_turn(fake);
    ck_assert_uint_eq(fake_count_sent(fake, WIRE_CANCEL), 1);
    say_data(p.call, WIRE_USAGE, 6, "late", 4);
    say_final(p.call, p.call->gen, 499, 7);
    ck_assert_int_eq(p.end.status, STATUS_CLIENT_GONE);
    ck_assert_uint_eq(p.end.usage.qty[METER_OUTPUT_TEXT], 7);
    ck_assert_uint_eq(p.events, 0);
}
END_TEST

START_TEST(test_cancel_does_not_wait_for_ever)
{
    struct probe p = { 0 };
    start(&p);
    say_data(p.call, WIRE_USAGE, 5, "x", 1);
    session_cancel(p.call);
    pass(SESSION_CANCEL_GRACE_MS - 1);
    ck_assert_uint_eq(p.ends, 0);
    pass(1);
    ck_assert_int_eq(p.end.status, STATUS_CLIENT_GONE);
    ck_assert_uint_eq(p.end.usage.qty[METER_OUTPUT_TEXT], 5);
    ck_assert_uint_eq(fake->session.in_use, 1); /* the slot is a zombie until FINAL */
    say_data(p.call, WIRE_USAGE, 9, "late", 4);
    say_final(p.call, p.call->gen, 0, 9);
    ck_assert_uint_eq(fake->session.in_use, 0);
    ck_assert_uint_eq(p.ends, 1);
    ck_assert_uint_eq(p.events, 1);
}
END_TEST

START_TEST(test_cancel_of_what_was_not_sent)
{
    struct probe p = { 0 };
    ck_assert_int_eq(try_start(&p, true, SPAN("{}")), STATUS_OK);
    session_cancel(p.call);
    ck_assert_uint_eq(p.ends, 0);
    fake_turn(fake);
    ck_assert_uint_eq(p.ends, 1);
    ck_assert(p.end.untouched);
    ck_assert_uint_eq(fake->out_len, 0);
}
END_TEST

START_TEST(test_deadlines)
{
    struct probe first = { 0 }, chunk = { 0 }, total = { 0 }, paused = { 0 };
    start(&first);
    start(&chunk);
    start(&total);
    start(&paused);
    say_data(chunk.call, 0, 0, "x", 1);
    say_data(paused.call, 0, 0, "x", 1);
    session_pause(paused.call, true);
    for (int i = 0; i < 4999; i++) {
        pass(1);
        say_data(total.call, 0, 0, "x", 1);
        ck_assert_uint_eq(chunk.ends, i + 1 >= 500);
        ck_assert_uint_eq(first.ends, i + 1 >= 1000);
        struct wire_head pong = { .type = WIRE_PONG, .gen = fake->session.ping_gen };
        fake_say(fake, pong, NULL);
    }
    ck_assert_uint_eq(total.ends + paused.ends, 0);
    pass(1);
    ck_assert_int_eq(total.end.status, STATUS_DEADLINE);
    ck_assert_int_eq(paused.end.status, STATUS_DEADLINE);
    ck_assert_int_eq(first.end.status, STATUS_DEADLINE);
    ck_assert_uint_eq(fake_count_sent(fake, WIRE_CANCEL), 4);
}
END_TEST

START_TEST(test_silence_counts_from_the_resume)
{
    struct probe p = { 0 };
    start(&p);
    say_data(p.call, 0, 0, "x", 1);
    session_pause(p.call, true);
    pass(600);
    session_pause(p.call, false);
    pass(499);
    ck_assert_uint_eq(p.ends, 0);
    pass(1);
    ck_assert_int_eq(p.end.status, STATUS_DEADLINE);
}
END_TEST

START_TEST(test_suspect_and_back)
{
    struct probe p = { 0 }, other = { 0 };
    ck_assert_int_eq(try_start(&p, true, SPAN("{}")), STATUS_OK);
    pass(SESSION_PING_MS);
    ck_assert_uint_eq(fake_count_sent(fake, WIRE_PING), 1);
    ck_assert(fake->session.base.stats.up);
    pass(SESSION_SUSPECT_MS);
    ck_assert(!fake->session.base.stats.up);
    ck_assert_int_eq(try_start(&other, true, SPAN("{}")), STATUS_NO_BACKEND);
    pass(SESSION_HOPELESS_MS - SESSION_SUSPECT_MS - 1);
    ck_assert_uint_eq(fake_count_sent(fake, WIRE_PING), 1); /* they do not pile up */
    fake_say(fake, (struct wire_head){ .type = WIRE_PONG, .gen = 1 }, NULL);
    ck_assert(fake->session.base.stats.up);
    ck_assert_int_eq(try_start(&other, true, SPAN("{}")), STATUS_OK);
}
END_TEST

/* A child that kept the socket of a worker that died, for instance: the new worker is never called. */
START_TEST(test_silence_that_nobody_waits_for)
{
    struct probe p = { 0 };
    start(&p);
    pass(SESSION_PING_MS);
    pass(SESSION_SUSPECT_MS); /* suspect, and the call's own deadline has passed */
    ck_assert_uint_eq(p.ends, 1);
    pass(SESSION_HOPELESS_MS - SESSION_SUSPECT_MS - 1);
    ck_assert_int_eq(fake->session.state, SESSION_UP);
    pass(1);
    ck_assert_int_eq(fake->session.state, SESSION_DOWN);
    ck_assert_uint_eq(fake->session.base.stats.protocol_errors, 0);
    ck_assert_uint_eq(fake->session.in_use, 0);
}
END_TEST

START_TEST(test_nothing_but_zombies)
{
    struct probe p[4] = { 0 };
    for (int i = 0; i < 4; i++)
        start(&p[i]);
    for (int i = 0; i < 4; i++)
        session_cancel(p[i].call);
    for (int64_t ms = 0; ms < SESSION_HOPELESS_MS + 1000 && fake->session.state == SESSION_UP;
         ms += 50) {
        pass(50);
        fake_say(fake, (struct wire_head){ .type = WIRE_PONG, .gen = fake->session.ping_gen },
                 NULL);
    }
    ck_assert_int_ne(fake->session.state, SESSION_UP);
    ck_assert_uint_eq(fake->session.in_use, 0);
}
END_TEST

START_TEST(test_long_body_in_turns)
{
    static char text[100000];
    struct probe a = { 0 }, b = { 0 };
    struct wire_head h;
    const uint8_t *payload;
    size_t sent[2] = { 0 }, at = 0;
    int last_slot = -1, same = 0;
    fake->small_room = true;
    fake->room_limit = 8192;
    ck_assert_int_eq(try_start(&a, false, (struct span){ text, sizeof text }), STATUS_OK);
    ck_assert_int_eq(try_start(&b, false, (struct span){ text, sizeof text }), STATUS_OK);
    fake_turn(fake);
    while (fake_sent(fake, &at, &h, &payload)) {
        size_t head = h.type == WIRE_REQUEST ? sizeof(struct wire_request) + 7 : 0;
        ck_assert_uint_le(h.len, 8192);
        sent[h.slot] += h.len - head;
        ck_assert_int_eq(!!(h.flags & WIRE_LAST), sent[h.slot] == sizeof text);
        same += (int)h.slot == last_slot;
        last_slot = (int)h.slot;
    }
    ck_assert_uint_eq(sent[0], sizeof text);
    ck_assert_uint_eq(sent[1], sizeof text);
    ck_assert_int_le(same, 1);
}
END_TEST

START_TEST(test_no_room)
{
    struct probe p = { 0 };
    fake->small_room = true;
    fake->room_limit = 16;
    ck_assert_int_eq(try_start(&p, true, SPAN("{}")), STATUS_OK);
    fake_turn(fake);
    ck_assert_uint_eq(fake->out_len, 0);
    ck_assert(fake->session.blocked);
    fake->small_room = false;
    fake_turn(fake);
    ck_assert_uint_eq(fake_count_sent(fake, WIRE_REQUEST), 1);
    ck_assert(!fake->session.blocked);
}
END_TEST

static const struct {
    uint32_t code;
    enum status status;
    bool untouched;
} codes[] = {
    { 0, STATUS_OK, false },
    { 400, STATUS_BAD_REQUEST, false },
    { 413, STATUS_CONTEXT_LENGTH, false },
    { 429, STATUS_OVERLOADED, true },
    { 500, STATUS_BACKEND_FAILED, false },
    { 503, STATUS_NO_BACKEND, true },
    { 77777, STATUS_BACKEND_FAILED, false },
};

START_TEST(test_codes)
{
    struct probe p = { 0 };
    struct wire_final f = { .code = codes[_i].code };
    start(&p);
    fake_say(fake, (struct wire_head){ sizeof f, WIRE_FINAL, 0, p.call->slot, p.call->gen }, &f);
    ck_assert_int_eq(p.end.status, codes[_i].status);
    ck_assert_int_eq(p.end.untouched, codes[_i].untouched);
    ck_assert_uint_eq(p.end.usage.present, 0);
}
END_TEST

Suite *session_suite(void);
Suite *session_suite(void)
{
    Suite *s = suite_create("session");
    TCase *t = tcase_create("session");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_lies, 0, sizeof lies / sizeof *lies);
    tcase_add_loop_test(t, test_hello, 0, sizeof hellos / sizeof *hellos);
    tcase_add_loop_test(t, test_codes, 0, sizeof codes / sizeof *codes);
    tcase_add_test(t, test_stale_generation_reaches_nobody);
    tcase_add_test(t, test_credit);
    tcase_add_test(t, test_flood);
    tcase_add_test(t, test_event_in_pieces);
    tcase_add_test(t, test_endless_event);
    tcase_add_test(t, test_slots);
    tcase_add_test(t, test_cancel_waits_for_the_count);
    tcase_add_test(t, test_cancel_does_not_wait_for_ever);
    tcase_add_test(t, test_cancel_of_what_was_not_sent);
    tcase_add_test(t, test_deadlines);
    tcase_add_test(t, test_silence_counts_from_the_resume);
    tcase_add_test(t, test_suspect_and_back);
    tcase_add_test(t, test_silence_that_nobody_waits_for);
    tcase_add_test(t, test_nothing_but_zombies);
    tcase_add_test(t, test_long_body_in_turns);
    tcase_add_test(t, test_no_room);
    suite_add_tcase(s, t);
    return s;
}
