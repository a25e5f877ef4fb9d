/* backends/session_frames.c -- what the worker sends, judged before it is believed.
 *
 * A frame of an earlier generation is late and dropped.  Anything else that does
 * not fit ends the session: a worker that counts backwards, answers twice or
 * overruns its credit cannot be trusted with the next call.
 */
#include "backends/session.h"
#include <stdlib.h>

static void finish_handshake(struct session *s)
{
    s->state = SESSION_UP;
    uv_timer_stop(&s->retry);
    s->suspect = s->ping_out = s->ping_due = false;
    s->budget = SESSION_FRAMES_PER_TURN;
    s->useless = 0;
    session_calls_ready(s);
    session_count_capacity(s);
    session_count(&s->base.stats.connects, 1);
    atomic_store_explicit(&s->base.stats.up, true, memory_order_relaxed);
    backend_no_trouble(&s->base);
    session_watch_process(s);
    session_touch(s);
}

static void printable(char *to, size_t size, const uint8_t *from, size_t len)
{
    size_t n = len < size - 1 ? len : size - 1;
    for (size_t i = 0; i < n; i++)
        to[i] = from[i] >= 0x20 && from[i] < 0x7f ? (char)from[i] : '?';
    to[n] = '\0';
}

static const char *on_hello(struct session *s, const struct wire_head *h, const uint8_t *payload)
{
    struct wire_hello hello;
    struct wire_accept a = { .magic = WIRE_MAGIC,
                             .credit_bytes = WIRE_CREDIT_BYTES,
                             .frame_max = WIRE_FRAME_MAX };
    if (h->type != WIRE_HELLO || h->len != sizeof hello)
        return "the worker did not begin with HELLO";
    memcpy(&hello, payload, sizeof hello);
    if (hello.magic != WIRE_MAGIC || hello.version_min > WIRE_VERSION ||
        hello.version_max < WIRE_VERSION_MIN || hello.version_max < hello.version_min)
        return "the worker speaks another version of the protocol";
    if (hello.max_inflight < 1 || hello.max_inflight > WIRE_SLOTS_MAX)
        return "HELLO offers an impossible number of slots";
    printable(s->base.worker, sizeof s->base.worker, (const uint8_t *)hello.name,
              strnlen(hello.name, sizeof hello.name));
    s->slots = s->call_count < hello.max_inflight ? s->call_count : hello.max_inflight;
    a.slots = s->slots;
    a.version = s->version =
        hello.version_max < WIRE_VERSION ? hello.version_max : (uint16_t)WIRE_VERSION;
    s->env->random(s->env->arg, &a.session, sizeof a.session);
    s->state = SESSION_READY;
    if (!s->carrier->accept(s, &a))
        session_lost(s, "ACCEPT could not be sent");
    return NULL;
}

static const char *on_ready(struct session *s, const struct wire_head *h)
{
    if (h->type != WIRE_READY || h->len != 0)
        return "the worker did not answer ACCEPT with READY";
    finish_handshake(s);
    return NULL;
}

/* ---- DATA ---- */

static bool counts_on(const struct wire_data *was, const struct wire_data *is)
{
    return is->input_tokens >= was->input_tokens &&
           is->input_cached_tokens >= was->input_cached_tokens &&
           is->output_tokens >= was->output_tokens &&
           is->output_reasoning_tokens >= was->output_reasoning_tokens;
}

static void remember_counts(struct backend_call *c, const struct wire_data *d)
{
    c->count = *d;
    usage_set(&c->so_far, METER_INPUT_UNCACHED, d->input_tokens);
    usage_set(&c->so_far, METER_OUTPUT_TEXT, d->output_tokens);
    if (d->input_cached_tokens)
        usage_set(&c->so_far, METER_INPUT_CACHED, d->input_cached_tokens);
    if (d->output_reasoning_tokens)
        usage_set(&c->so_far, METER_OUTPUT_REASONING, d->output_reasoning_tokens);
}

static bool part_grow(struct backend_call *c, size_t need)
{
    if (need <= c->part_size)
        return true;
    size_t size = c->part_size ? 2 * c->part_size : (size_t)4 * WIRE_FRAME_MAX;
    while (size < need)
        size *= 2;
    char *more = realloc(c->part, size);
    if (!more)
        return false;
    c->part = more;
    c->part_size = size;
    return true;
}

/* Puts an event together.  False: the call has ended, for want of memory. */
static bool part_add(struct backend_call *c, const char *bytes, size_t len)
{
    if (!part_grow(c, c->part_len + len)) {
        session_call_abort(c, STATUS_NO_MEMORY);
        return false;
    }
    memcpy(c->part + c->part_len, bytes, len);
    c->part_len += len;
    return true;
}

static void deliver(struct backend_call *c, const char *bytes, size_t len, uint16_t flags)
{
    struct backend_data d = { .bytes = bytes,
                              .len = len,
                              .usage_event = flags & WIRE_USAGE_EVENT,
                              .so_far = c->so_far.present ? &c->so_far : NULL,
                              .format = c->format_known ? &c->format : NULL };
    c->data_seen = true;
    c->events->on_data(c->arg, &d);
}

static void take_bytes(struct backend_call *c, const char *bytes, size_t len, uint16_t flags)
{
    bool more = c->stream && (flags & WIRE_MORE);
    if (!more && !c->part_len) {
        deliver(c, bytes, len, flags);
    } else if (part_add(c, bytes, len) && !more) {
        size_t whole = c->part_len;
        c->part_len = 0; /* the memory stays for the next long event */
        deliver(c, c->part, whole, flags);
    }
}

/* What goes into a header of our answer: one type/subtype, printable. */
static bool is_content_type(const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] < 0x20 || at[i] >= 0x7f)
            return false;
    return len > 2 && memchr(at + 1, '/', len - 2);
}

/* Before the first bytes of an answer that is not JSON. */
static const char *take_format(struct session *s, struct backend_call *c, struct span *bytes)
{
    struct wire_format f;
    if (s->version < 2 || c->stream || !c->order.any_format || c->data_seen || c->format_known)
        return "a format that was not asked for, or after the first bytes";
    if (bytes->len < sizeof f)
        return "a format that is cut";
    memcpy(&f, bytes->at, sizeof f);
    const char *type = bytes->at + sizeof f;
    if (f.content_type_len > WIRE_CONTENT_TYPE_MAX || f.content_type_len > bytes->len - sizeof f ||
        !is_content_type((const uint8_t *)type, f.content_type_len))
        return "a content type that is none";
    memcpy(c->content_type, type, f.content_type_len);
    c->content_type[f.content_type_len] = '\0';
    c->format = (struct backend_format){ .content_type = c->content_type };
    if (f.header_len != WIRE_NOT_TENSORS) {
        c->format.tensors = true;
        c->format.header_len = f.header_len;
    }
    c->format_known = true;
    *bytes = (struct span){ type + f.content_type_len, bytes->len - sizeof f - f.content_type_len };
    return NULL;
}

static const char *on_data(struct session *s, struct backend_call *c, const struct wire_head *h,
                           const uint8_t *payload)
{
    struct wire_data d;
    uint32_t gen = c->gen;
    if (c->state == CALL_WAITS || h->len < sizeof d)
        return "DATA for a request that was not sent, or without counters";
    if (h->len > c->credit)
        return "DATA beyond the credit";
    c->credit -= h->len;
    memcpy(&d, payload, sizeof d);
    if (h->flags & WIRE_USAGE) {
        if (!counts_on(&c->count, &d))
            return "a counter that decreases";
        remember_counts(c, &d);
    }
    if (c->state != CALL_RUNS)
        return NULL;
    struct span bytes = { (const char *)payload + sizeof d, h->len - sizeof d };
    const char *wrong = h->flags & WIRE_FORMAT ? take_format(s, c, &bytes) : NULL;
    if (wrong)
        return wrong;
    if (c->part_len + bytes.len > SESSION_EVENT_BYTES_MAX)
        return "an event that is too long";
    c->heard_ms = s->now_ms;
    session_count(&s->base.stats.bytes_in, bytes.len);
    if (bytes.len || c->part_len) /* else it only counts, or says that the worker is alive */
        take_bytes(c, bytes.at, bytes.len, h->flags);
    if (s->state == SESSION_UP && c->gen == gen && c->state == CALL_RUNS)
        session_owe(c, h->len);
    return NULL;
}

/* ---- FINAL ---- */

static bool final_counts_on(const struct backend_call *c, const struct wire_final *f)
{
    static const enum meter streamed[] = { METER_INPUT_UNCACHED, METER_INPUT_CACHED,
                                           METER_OUTPUT_TEXT, METER_OUTPUT_REASONING };
    if (f->present >> WIRE_METERS) /* they have no place in the frame */
        return false;
    for (unsigned m = 0; m < WIRE_METERS; m++)
        if ((f->present >> m & 1) && f->qty[m] > INT64_MAX)
            return false;
    for (size_t i = 0; i < sizeof streamed / sizeof *streamed; i++)
        if ((f->present >> streamed[i] & 1) && f->qty[streamed[i]] < c->so_far.qty[streamed[i]])
            return false;
    return true;
}

static enum status final_status(const struct backend_call *c, uint32_t code)
{
    if (c->state == CALL_CANCELLED)
        return STATUS_CLIENT_GONE;
    switch (code) {
    case 0:
        return STATUS_OK;
    case 400:
        return STATUS_BAD_REQUEST;
    case 413:
        return STATUS_CONTEXT_LENGTH;
    case 429:
        return STATUS_OVERLOADED;
    case 503:
        return STATUS_NO_BACKEND;
    default:
        return c->data_seen ? STATUS_BACKEND_CUT : STATUS_BACKEND_FAILED;
    }
}

static enum health_verdict final_health(enum status status)
{
    if (status == STATUS_CLIENT_GONE)
        return HEALTH_UNKNOWN;
    bool own_fault = status == STATUS_BACKEND_FAILED || status == STATUS_BACKEND_CUT ||
                     status == STATUS_NO_BACKEND;
    return own_fault ? HEALTH_BAD : HEALTH_GOOD;
}

static void end_call(struct backend_call *c, const struct wire_final *f, bool reported,
                     const uint8_t *message, size_t len)
{
    struct backend_end end = { .status = final_status(c, f->code), .usage = c->so_far };
    for (unsigned m = 0; reported && m < WIRE_METERS; m++)
        if (f->present >> m & 1)
            usage_set(&end.usage, (enum meter)m, f->qty[m]);
    end.health = final_health(end.status);
    /* 429 and 503 before any data: the worker says itself that it did not begin. */
    end.untouched = (f->code == 429 || f->code == 503) && !c->data_seen && !end.usage.present;
    if (f->code)
        printable(end.message, sizeof end.message, message, len);
    session_call_end(c, &end, CALL_FREE);
}

static const char *on_final(struct backend_call *c, const struct wire_head *h,
                            const uint8_t *payload)
{
    struct wire_final f;
    if (c->state == CALL_WAITS || h->len < sizeof f || h->len > sizeof f + WIRE_MESSAGE_MAX)
        return "FINAL for a request that was not sent, or of a wrong length";
    memcpy(&f, payload, sizeof f);
    bool reported = h->flags & WIRE_USAGE;
    if (reported && !final_counts_on(c, &f))
        return "FINAL counts less than DATA did, or more than can be";
    if (!f.code && c->part_len && c->state == CALL_RUNS)
        return "FINAL in the middle of an event";
    c->cancel_due = false;
    if (c->state == CALL_ZOMBIE)
        session_call_free(c);
    else
        end_call(c, &f, reported, payload + sizeof f, h->len - sizeof f);
    return NULL;
}

/* ---- all frames ---- */

static const char *on_call_frame(struct session *s, const struct wire_head *h,
                                 const uint8_t *payload)
{
    if (h->slot >= s->slots)
        return "a slot that was not given out";
    struct backend_call *c = &s->calls[h->slot];
    if (h->gen != c->gen) {
        if ((int32_t)(h->gen - c->gen) > 0)
            return "a generation that has not begun";
        s->stale_frames++;
        session_useless(s);
        return NULL;
    }
    if (c->state == CALL_FREE || c->state == CALL_ENDS)
        return "a frame after FINAL";
    s->useless = 0;
    return h->type == WIRE_DATA ? on_data(s, c, h, payload) : on_final(c, h, payload);
}

static void on_pong(struct session *s, const struct wire_head *h)
{
    if (!s->ping_out || h->gen != s->ping_gen) {
        session_useless(s);
        return;
    }
    s->useless = 0;
    s->ping_out = s->suspect = false;
    atomic_store_explicit(&s->base.stats.up, true, memory_order_relaxed);
    atomic_store_explicit(&s->base.stats.suspect, false, memory_order_relaxed);
}

static const char *judge(struct session *s, const struct wire_head *h, const uint8_t *payload)
{
    if (s->state == SESSION_HELLO)
        return on_hello(s, h, payload);
    if (s->state == SESSION_READY)
        return on_ready(s, h);
    switch (h->type) {
    case WIRE_DATA:
    case WIRE_FINAL:
        return on_call_frame(s, h, payload);
    case WIRE_PONG:
        on_pong(s, h);
        return NULL;
    default:
        session_useless(s);
        return h->type >= 0x8000 ? NULL : "a frame type that is not known";
    }
}

void session_useless(struct session *s)
{
    if (++s->useless > SESSION_USELESS_MAX)
        session_broken(s, "a flood of frames or doorbells that mean nothing");
}

void session_frame(struct session *s, const struct wire_head *h, const uint8_t *payload)
{
    const char *wrong = judge(s, h, payload);
    if (wrong)
        session_broken(s, wrong);
}
