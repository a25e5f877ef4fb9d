/* backends/workertest/convo.c -- see convo.h. */
#include "backends/workertest/convo.h"
#include "base/usage.h"
#include <jansson.h>

enum { NAMES_BYTES_MAX = 300 };

/* ---- life ---- */

bool convo_open(struct convo *c, const char *address, int patience_ms, const struct link_manners *m)
{
    memset(c, 0, sizeof *c);
    c->address = address;
    c->patience_ms = patience_ms;
    for (unsigned i = 0; i < CONVO_SLOTS; i++)
        buf_init(&c->talk[i].text, CONVO_ANSWER_BYTES_MAX);
    return link_dial(&c->link, address, patience_ms) && link_accept(&c->link, m, patience_ms);
}

void convo_close(struct convo *c)
{
    for (unsigned i = 0; i < CONVO_SLOTS; i++)
        buf_free(&c->talk[i].text);
    link_close(&c->link);
}

/* ---- asking ---- */

bool convo_say(struct convo *c, uint16_t type, unsigned slot, const void *payload, uint32_t len)
{
    struct wire_head h = { .len = len, .type = type, .slot = slot, .gen = c->gen[slot] };
    return link_say(&c->link, h, payload, c->patience_ms);
}

static bool say_part(struct convo *c, unsigned slot, const struct plea *p, size_t at, size_t len)
{
    struct wire_head h = {
        .len = (uint32_t)len, .type = WIRE_BODY, .slot = slot, .gen = c->gen[slot]
    };
    h.flags = (uint16_t)((at + len == p->body.len ? WIRE_LAST : 0) | p->more_flags);
    return link_say(&c->link, h, p->body.at + at, c->patience_ms);
}

static bool say_request(struct convo *c, unsigned slot, const struct plea *p, size_t first)
{
    static const char public_model[] = "base/test";
    uint8_t bytes[WIRE_FRAME_MAX];
    struct wire_request r = {
        .rid = link_now_ms() << 8 | slot,
        .body_len = p->body.len,
        .capability = p->capability,
        .max_out = p->max_out,
        .deadline_ms = 600000,
        .model_len = (uint16_t)strlen(p->model),
        .public_model_len = sizeof public_model - 1,
    };
    struct wire_head h = { .type = WIRE_REQUEST, .slot = slot, .gen = c->gen[slot] };
    memcpy(bytes, &r, sizeof r);
    memcpy(bytes + sizeof r, p->model, r.model_len);
    memcpy(bytes + sizeof r + r.model_len, public_model, r.public_model_len);
    size_t before = sizeof r + r.model_len + r.public_model_len;
    memcpy(bytes + before, p->body.at, first);
    h.len = (uint32_t)(before + first);
    h.flags = (uint16_t)((first == p->body.len ? WIRE_LAST : 0) | (p->stream ? WIRE_STREAM : 0) |
                         p->more_flags);
    return link_say(&c->link, h, bytes, c->patience_ms);
}

static size_t lesser(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t first_part(const struct convo *c, const struct plea *p)
{
    size_t room = c->link.accept.frame_max - sizeof(struct wire_request) - NAMES_BYTES_MAX;
    return lesser(p->first ? p->first : room, lesser(room, p->body.len));
}

bool convo_begin(struct convo *c, unsigned slot, const struct plea *p)
{
    struct talk *t = &c->talk[slot];
    buf_clear(&t->text);
    *t = (struct talk){ .begun = true,
                        .stream = p->stream,
                        .gen = ++c->gen[slot],
                        .credit = c->link.accept.credit_bytes,
                        .capability = p->capability,
                        .text = t->text };
    return say_request(c, slot, p, first_part(c, p));
}

bool convo_ask(struct convo *c, unsigned slot, const struct plea *p)
{
    size_t frame = c->link.accept.frame_max, at = first_part(c, p);
    if (!convo_begin(c, slot, p))
        return false;
    for (size_t n; at < p->body.len; at += n) {
        n = lesser(p->piece ? p->piece : frame, lesser(frame, p->body.len - at));
        if (!say_part(c, slot, p, at, n))
            return false;
    }
    return true;
}

bool convo_cancel(struct convo *c, unsigned slot)
{
    c->talk[slot].cancelled = true;
    c->talk[slot].cancelled_ms = link_now_ms();
    return convo_say(c, WIRE_CANCEL, slot, NULL, 0);
}

bool convo_give_credit(struct convo *c, unsigned slot)
{
    struct talk *t = &c->talk[slot];
    struct wire_credit credit = { .bytes = t->owed };
    t->credit += t->owed;
    t->owed = 0;
    return convo_say(c, WIRE_CREDIT, slot, &credit, sizeof credit);
}

/* ---- judging ---- */

#define wrong(...) link_fail(&c->link, __VA_ARGS__)

static bool judge_event(struct convo *c, struct talk *t, uint16_t flags)
{
    json_t *json = json_loadb(t->text.at ? t->text.at : "", t->text.len, 0, NULL);
    bool ok = json_is_object(json);
    size_t choices = json_array_size(json_object_get(json, "choices"));
    bool usage = json_is_object(json_object_get(json, "usage"));
    json_decref(json);
    t->events++;
    t->usage_last = flags & WIRE_USAGE_EVENT;
    t->usage_events += t->usage_last;
    if (!ok)
        return wrong("event %u is not a JSON object: '%.60s'", t->events,
                     t->text.at ? t->text.at : "");
    if (t->usage_last && (choices || !usage))
        return wrong("the event with USAGE_EVENT has choices, or no usage");
    buf_clear(&t->text);
    return true;
}

static bool take_text(struct convo *c, struct talk *t, uint16_t flags, const uint8_t *bytes,
                      size_t len)
{
    if (!buf_add(&t->text, bytes, len))
        return wrong("an answer of more than %d bytes", CONVO_ANSWER_BYTES_MAX);
    if (t->stream && t->text.len > CONVO_EVENT_BYTES_MAX)
        return wrong("an event is longer than %d bytes", CONVO_EVENT_BYTES_MAX);
    if (!t->stream || (flags & WIRE_MORE) || t->text.len == 0)
        return true;
    return judge_event(c, t, flags);
}

static bool counts_on(const struct wire_data *was, const struct wire_data *is)
{
    return is->input_tokens >= was->input_tokens &&
           is->input_cached_tokens >= was->input_cached_tokens &&
           is->output_tokens >= was->output_tokens &&
           is->output_reasoning_tokens >= was->output_reasoning_tokens;
}

static bool on_data(struct convo *c, struct talk *t, const struct wire_head *h,
                    const uint8_t *payload)
{
    struct wire_data d;
    if (h->len < sizeof d)
        return wrong("a DATA of %u bytes: the counters alone have %zu", h->len, sizeof d);
    if (h->len > t->credit)
        return wrong("a DATA of %u bytes where %u bytes of credit were left", h->len, t->credit);
    memcpy(&d, payload, sizeof d);
    t->credit -= h->len;
    t->owed += h->len;
    t->bytes += h->len - sizeof d;
    if (h->flags & WIRE_FORMAT)
        return wrong("FORMAT on the answer to a request that wants JSON");
    if ((h->flags & WIRE_USAGE) && !counts_on(&t->count, &d))
        return wrong(
            "a counter decreases: output_tokens was %u and is %u, input_tokens was %u and is %u",
            t->count.output_tokens, d.output_tokens, t->count.input_tokens, d.input_tokens);
    if (h->flags & WIRE_USAGE)
        t->count = d;
    if (!take_text(c, t, h->flags, payload + sizeof d, h->len - sizeof d))
        return false;
    return t->no_credit || t->owed < c->link.accept.credit_bytes / 4 ||
           convo_give_credit(c, (unsigned)(t - c->talk));
}

static bool final_is_right(struct convo *c, const struct talk *t, const struct wire_final *f)
{
    static const struct {
        enum meter meter;
        const char *name;
        size_t at;
    } counted[] = {
        { METER_INPUT_UNCACHED, "input tokens", offsetof(struct wire_data, input_tokens) },
        { METER_INPUT_CACHED, "cached tokens", offsetof(struct wire_data, input_cached_tokens) },
        { METER_OUTPUT_TEXT, "output tokens", offsetof(struct wire_data, output_tokens) },
        { METER_OUTPUT_REASONING, "reasoning tokens",
          offsetof(struct wire_data, output_reasoning_tokens) }
    };
    for (unsigned m = 0; m < 16; m++)
        if ((f->present >> m & 1) && f->qty[m] > INT64_MAX)
            return wrong("qty[%u] of FINAL is not below 2^63", m);
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        uint32_t said;
        memcpy(&said, (const char *)&t->count + counted[i].at, sizeof said);
        if ((f->present >> counted[i].meter & 1) && f->qty[counted[i].meter] < said)
            return wrong("FINAL says %llu %s, the last DATA said %u",
                         (unsigned long long)f->qty[counted[i].meter], counted[i].name, said);
    }
    return true;
}

static bool on_final(struct convo *c, struct talk *t, const struct wire_head *h,
                     const uint8_t *payload)
{
    if (h->len < sizeof t->final || h->len > sizeof t->final + WIRE_MESSAGE_MAX)
        return wrong("a FINAL of %u bytes; it has 136 and a message of at most 200", h->len);
    memcpy(&t->final, payload, sizeof t->final);
    t->reported = h->flags & WIRE_USAGE;
    t->ended = true;
    t->ended_ms = link_now_ms();
    if (!t->final.code && t->stream && t->text.len)
        return wrong("FINAL in the middle of an event: MORE was set on the last DATA");
    for (uint32_t i = sizeof t->final; i < h->len; i++)
        if (payload[i] < 0x20 || payload[i] > 0x7e)
            return wrong("the message of FINAL has a byte that is not printable ASCII");
    return !t->reported || final_is_right(c, t, &t->final);
}

static bool on_call_frame(struct convo *c, const struct wire_head *h, const uint8_t *payload)
{
    const char *what = h->type == WIRE_DATA ? "DATA" : "FINAL";
    struct talk *t = h->slot < CONVO_SLOTS ? &c->talk[h->slot] : NULL;
    if (!t || h->slot >= c->link.accept.slots)
        return wrong("%s for slot %u; 0 to %u were given", what, h->slot, c->link.accept.slots - 1);
    if (!t->begun)
        return wrong("%s for slot %u, which has no request", what, h->slot);
    if (h->gen != t->gen)
        return wrong("%s with generation %u; that of the request in slot %u is %u", what, h->gen,
                     h->slot, t->gen);
    if (t->ended)
        return wrong("%s for slot %u after its FINAL", what, h->slot);
    t->frames++;
    return h->type == WIRE_DATA ? on_data(c, t, h, payload) : on_final(c, t, h, payload);
}

static bool judge(struct convo *c)
{
    const struct wire_head *h = &c->link.head;
    if (h->len > c->link.accept.frame_max)
        return wrong("a frame of %u bytes; frame_max in ACCEPT was %u", h->len,
                     c->link.accept.frame_max);
    switch (h->type) {
    case WIRE_DATA:
    case WIRE_FINAL:
        return on_call_frame(c, h, c->link.payload);
    case WIRE_PONG:
        c->pongs++;
        c->pong_gen = h->gen;
        return h->len == 0 || wrong("a PONG with %u bytes", h->len);
    default:
        return h->type >= 0x8000 || wrong("a frame of type %u, which no worker sends", h->type);
    }
}

/* ---- waiting ---- */

bool convo_step(struct convo *c)
{
    enum link_got got = link_read(&c->link, c->patience_ms);
    if (got == LINK_QUIET)
        return wrong("nothing came for %d ms", c->patience_ms);
    return got == LINK_FRAME && judge(c);
}

bool convo_until_end(struct convo *c, unsigned slot)
{
    while (!c->talk[slot].ended)
        if (!convo_step(c))
            return false;
    return true;
}

bool convo_until_event(struct convo *c, unsigned slot, unsigned count)
{
    while (!c->talk[slot].ended && c->talk[slot].events < count)
        if (!convo_step(c))
            return false;
    return true;
}

bool convo_ping(struct convo *c)
{
    static uint32_t gen = 7000;
    unsigned before = c->pongs;
    if (!link_say(&c->link, (struct wire_head){ .type = WIRE_PING, .gen = ++gen }, NULL,
                  c->patience_ms))
        return false;
    int64_t end = link_now_ms() + c->patience_ms;
    while (c->pongs == before) {
        enum link_got got = link_read(&c->link, c->patience_ms);
        if (got == LINK_QUIET || link_now_ms() > end)
            return wrong("no PONG came within %d ms", c->patience_ms);
        if (got != LINK_FRAME || !judge(c))
            return false;
    }
    return c->pong_gen == gen || wrong("PONG has generation %u, PING had %u", c->pong_gen, gen);
}

bool convo_until_gone(struct convo *c)
{
    for (int64_t end = link_now_ms() + c->patience_ms; link_now_ms() < end;)
        if (link_read(&c->link, c->patience_ms) == LINK_GONE)
            return true;
    return wrong("it did not hang up within %d ms", c->patience_ms);
}

bool convo_quiet(struct convo *c, int ms)
{
    for (int64_t end = link_now_ms() + ms; link_now_ms() < end;) {
        enum link_got got = link_read(&c->link, (int)(end - link_now_ms()));
        if (got == LINK_GONE || got == LINK_WRONG || (got == LINK_FRAME && !judge(c)))
            return false;
    }
    return true;
}
