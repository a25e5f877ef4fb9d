/* backends/session_out.c -- what goes to the worker, in turns: one frame of each call, then the next call.
 *
 * A call stands in the queue while it has something to send.  When the carrier is
 * full the queue waits; nothing is copied aside, a body stays where its caller has it.
 */
#include "backends/session.h"

enum {
    CONTROL_ROOM = 256, /* any frame but REQUEST and BODY fits */
    BODY_CRUMB = 4096,  /* less of a long body than this is not worth a frame */
};

void session_queue(struct backend_call *c)
{
    struct session *s = c->session;
    if (!c->queued) {
        c->queued = true;
        c->next_out = NULL;
        if (s->out_last)
            s->out_last->next_out = c;
        else
            s->out_first = c;
        s->out_last = c;
    }
    session_touch(s);
}

static bool credit_is_due(const struct backend_call *c)
{
    return c->state == CALL_RUNS && !c->paused && c->owed >= WIRE_CREDIT_BYTES / 4;
}

static bool body_is_due(const struct backend_call *c)
{
    return c->state == CALL_RUNS && c->body_sent < c->order.body.len;
}

static bool has_output(const struct backend_call *c)
{
    return c->state == CALL_WAITS || c->cancel_due || credit_is_due(c) || body_is_due(c);
}

void session_owe(struct backend_call *c, uint32_t bytes)
{
    c->owed += bytes;
    if (credit_is_due(c))
        session_queue(c);
}

static void send_control(struct session *s, uint16_t type, uint32_t slot, uint32_t gen,
                         const void *payload, uint32_t len)
{
    struct wire_head h = { .len = len, .type = type, .slot = slot, .gen = gen };
    uint8_t *to = s->carrier->reserve(s, len);
    if (len)
        memcpy(to, payload, len);
    s->carrier->commit(s, &h);
}

static void send_credit(struct backend_call *c)
{
    struct wire_credit credit = { .bytes = c->owed };
    send_control(c->session, WIRE_CREDIT, c->slot, c->gen, &credit, sizeof credit);
    c->credit += c->owed;
    c->owed = 0;
}

static uint32_t at_most_u32(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint16_t last_flag(const struct backend_call *c)
{
    return c->body_sent == c->order.body.len ? WIRE_LAST : 0;
}

/* How much of what is left of the body goes with `room` bytes; -1: wait for more room. */
static ptrdiff_t body_share(const struct backend_call *c, uint32_t room, size_t before)
{
    size_t left = c->order.body.len - (size_t)c->body_sent;
    size_t space = room > before ? room - before : 0;
    if (room < before || (space < left && space < BODY_CRUMB))
        return -1;
    return (ptrdiff_t)(left < space ? left : space);
}

static void copy_body(struct backend_call *c, uint8_t *to, size_t n)
{
    if (n)
        memcpy(to, c->order.body.at + c->body_sent, n);
    c->body_sent += n;
}

static size_t format_bytes(const struct backend_order *o)
{
    const char *type = o->format.content_type;
    return session_has_format(o) ? sizeof(struct wire_format) + (type ? strlen(type) : 0) : 0;
}

static void write_format(const struct backend_order *o, uint8_t *to, size_t bytes)
{
    struct wire_format f = {
        .header_len = o->format.tensors ? at_most_u32(o->format.header_len) : WIRE_NOT_TENSORS,
        .content_type_len = (uint16_t)(bytes - sizeof f),
    };
    memcpy(to, &f, sizeof f);
    if (f.content_type_len)
        memcpy(to + sizeof f, o->format.content_type, f.content_type_len);
}

static bool send_request(struct backend_call *c, uint32_t room)
{
    const struct backend_order *o = &c->order;
    size_t model = strlen(o->model), public_model = strlen(o->public_model);
    size_t format = format_bytes(o);
    size_t names = sizeof(struct wire_request) + model + public_model, before = names + format;
    ptrdiff_t n = body_share(c, room, before);
    if (n < 0)
        return false;
    struct wire_request r = {
        .rid = o->rid,
        .body_len = o->body.len,
        .capability = o->capability,
        .max_out = at_most_u32(o->max_out),
        .deadline_ms = at_most_u32(o->total_timeout_ms),
        .model_len = (uint16_t)model,
        .public_model_len = (uint16_t)public_model,
    };
    struct wire_head h = {
        .len = (uint32_t)(before + (size_t)n), .type = WIRE_REQUEST, .slot = c->slot, .gen = c->gen
    };
    uint8_t *to = c->session->carrier->reserve(c->session, h.len);
    memcpy(to, &r, sizeof r);
    memcpy(to + sizeof r, o->model, model);
    memcpy(to + sizeof r + model, o->public_model, public_model);
    if (format)
        write_format(o, to + names, format);
    copy_body(c, to + before, (size_t)n);
    h.flags = (uint16_t)(last_flag(c) | (o->stream ? WIRE_STREAM : 0) | (format ? WIRE_FORMAT : 0));
    c->session->carrier->commit(c->session, &h);
    c->state = CALL_RUNS;
    return true;
}

static bool send_body(struct backend_call *c, uint32_t room)
{
    ptrdiff_t n = body_share(c, room, 0);
    if (n < 0)
        return false;
    struct wire_head h = { .len = (uint32_t)n, .type = WIRE_BODY, .slot = c->slot, .gen = c->gen };
    copy_body(c, c->session->carrier->reserve(c->session, h.len), (size_t)n);
    h.flags = last_flag(c);
    c->session->carrier->commit(c->session, &h);
    return true;
}

/* One frame of one call.  False: it needs more room than there is. */
static bool send_next(struct backend_call *c)
{
    struct session *s = c->session;
    uint32_t room = s->carrier->room(s);
    if (c->state == CALL_WAITS)
        return send_request(c, room);
    if (c->cancel_due) {
        if (room < CONTROL_ROOM)
            return false;
        send_control(s, WIRE_CANCEL, c->slot, c->gen, NULL, 0);
        c->cancel_due = false;
        return true;
    }
    if (credit_is_due(c)) {
        if (room < CONTROL_ROOM)
            return false;
        send_credit(c);
        return true;
    }
    return !body_is_due(c) || send_body(c, room);
}

static bool send_ping(struct session *s)
{
    if (s->ping_due && s->carrier->room(s) < CONTROL_ROOM)
        return false;
    if (s->ping_due)
        send_control(s, WIRE_PING, 0, s->ping_gen, NULL, 0);
    s->ping_due = false;
    return true;
}

void session_flush(struct session *s)
{
    s->blocked = !send_ping(s);
    while (!s->blocked && s->out_first) {
        struct backend_call *c = s->out_first;
        if (!send_next(c)) {
            s->blocked = true;
            return;
        }
        s->out_first = c->next_out;
        if (!s->out_first)
            s->out_last = NULL;
        c->queued = false;
        if (has_output(c))
            session_queue(c);
    }
}
