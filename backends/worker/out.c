/* backends/worker/out.c -- sending: DATA within the call's credit and the carrier's room, FINAL last.
 *
 * What fits goes straight to the carrier.  The rest is copied once into a piece;
 * calls with pieces take turns, one frame each, so that no call starves another.
 */
#include "backends/worker/internal.h"
#include "base/usage.h"
#include <stdlib.h>

enum { CONTROL_BYTES_MAX = sizeof(struct wire_final) + WIRE_MESSAGE_MAX };

static uint32_t counter(int64_t n)
{
    return n <= 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* The counters of DATA cannot say "unknown": a zero would say that nothing had been made. */
uint16_t wk_counts(const struct maas_usage *u)
{
    return u && (u->output_tokens >= 0 || u->output_reasoning_tokens >= 0) ? WIRE_USAGE : 0;
}

static struct wire_data counters_of(const struct maas_usage *u)
{
    return (struct wire_data){ counter(u->input_tokens), counter(u->input_cached_tokens),
                               counter(u->output_tokens), counter(u->output_reasoning_tokens) };
}

static void write_format(const struct maas_call *c, uint8_t *to)
{
    memcpy(to, &c->format, sizeof c->format);
    memcpy(to + sizeof c->format, c->content_type, c->format.content_type_len);
}

/* One DATA frame with as much as credit and room allow; returns how much, or -1 when not even one byte. */
static ptrdiff_t send_frame(struct maas_call *c, const char *bytes, size_t len, uint16_t flags,
                            const struct wire_data *counters)
{
    struct wk_session *s = c->session;
    uint32_t most = s->carrier->room(s);
    size_t format = c->format_due && len ? sizeof c->format + c->format.content_type_len : 0;
    size_t before = sizeof *counters + format;
    s->blocked = most < before + len && most < s->frame_max / 8;
    if (c->credit < most)
        most = c->credit;
    /* A crumb of an event is not worth a frame; wait for room for a good part of it. */
    if (most < before + len && most < s->frame_max / 8)
        return -1;
    size_t n = most - before < len ? most - before : len;
    if (n < len && c->req.stream)
        flags |= WIRE_MORE;
    flags |= format ? WIRE_FORMAT : 0;
    struct wire_head h = { (uint32_t)(before + n), WIRE_DATA, flags, c->slot, c->gen };
    uint8_t *to = s->carrier->reserve(s, h.len);
    memcpy(to, counters, sizeof *counters);
    if (format)
        write_format(c, to + sizeof *counters);
    memcpy(to + before, bytes, n);
    s->carrier->commit(s, &h);
    c->format_due = c->format_due && !len;
    c->credit -= h.len;
    return (ptrdiff_t)n;
}

static bool add_piece(struct maas_call *c, const char *bytes, size_t len, uint16_t flags,
                      const struct wire_data *counters)
{
    struct wk_piece *p = malloc(sizeof *p + len);
    if (!p)
        return false;
    *p = (struct wk_piece){ .len = len, .flags = flags, .counters = *counters };
    memcpy(p->bytes, bytes, len);
    if (c->last)
        c->last->next = p;
    else
        c->first = p;
    c->last = p;
    wk_queue(c);
    return true;
}

/* `always`: behind what waits already, for the library's own last events. */
int wk_send(struct maas_call *c, const char *bytes, size_t len, uint16_t flags, bool always)
{
    /* Without bytes there are counters, or there is nothing to send. */
    if (c->state != WK_OPEN || (!len && !(flags & WIRE_USAGE)) ||
        len > (c->req.stream ? WK_EVENT_BYTES_MAX : WK_PIECE_BYTES_MAX))
        return MAAS_INVALID;
    if (c->cancelled || c->session->dead)
        return MAAS_GONE;
    if (c->first && !always) {
        c->wants_room = true;
        return MAAS_AGAIN;
    }
    struct wire_data counters = counters_of(&c->so_far);
    c->data_sent = c->data_sent || len;
    size_t at = 0;
    bool sent = false;
    for (ptrdiff_t n; !c->first && !sent; at += (size_t)n, sent = at == len)
        if ((n = send_frame(c, bytes + at, len - at, flags, &counters)) < 0)
            break;
    if (sent || add_piece(c, bytes + at, len - at, flags, &counters))
        return MAAS_OK;
    /* Half an event cannot be taken back: without memory the session is over. */
    c->session->dead = true;
    return MAAS_GONE;
}

void wk_queue(struct maas_call *c)
{
    struct wk_session *s = c->session;
    if (c->queued)
        return;
    c->queued = true;
    c->next_out = NULL;
    if (s->out_last)
        s->out_last->next_out = c;
    else
        s->out_first = c;
    s->out_last = c;
}

/* ---- FINAL ---- */

static void set(struct wire_final *f, enum meter m, int64_t n)
{
    if (n < 0)
        return;
    f->qty[m] = (uint64_t)n;
    f->present |= UINT32_C(1) << m;
}

static void usage_to_wire(const struct maas_usage *u, struct wire_final *f)
{
    set(f, METER_INPUT_UNCACHED, u->input_tokens);
    set(f, METER_INPUT_CACHED, u->input_cached_tokens);
    set(f, METER_INPUT_CACHE_WRITE, u->input_cache_write_tokens);
    set(f, METER_OUTPUT_TEXT, u->output_tokens);
    set(f, METER_OUTPUT_REASONING, u->output_reasoning_tokens);
    set(f, METER_IMAGES, u->images);
    set(f, METER_CHARACTERS, u->characters);
    set(f, METER_AUDIO_MS, u->audio_ms);
    set(f, METER_COMPUTE_MS, u->compute_ms);
    set(f, METER_TENSOR_ELEMENTS, u->tensor_elements);
    set(f, METER_INPUT_AUDIO, u->input_audio_tokens);
    set(f, METER_INPUT_IMAGE, u->input_image_tokens);
    set(f, METER_OUTPUT_AUDIO, u->output_audio_tokens);
    set(f, METER_OUTPUT_IMAGE, u->output_image_tokens);
    set(f, METER_VIDEO_MS, u->video_ms);
}

static bool send_final(struct maas_call *c)
{
    struct wk_session *s = c->session;
    struct wire_head h = { (uint32_t)sizeof c->final + c->message_len, WIRE_FINAL, WIRE_USAGE,
                           c->slot, c->gen };
    if (!c->final.present)
        h.flags = 0;
    if (s->carrier->room(s) < CONTROL_BYTES_MAX) {
        s->blocked = true;
        return false;
    }
    uint8_t *to = s->carrier->reserve(s, h.len);
    memcpy(to, &c->final, sizeof c->final);
    memcpy(to + sizeof c->final, c->message, c->message_len);
    s->carrier->commit(s, &h);
    wk_call_free(c);
    return true;
}

void wk_final(struct maas_call *c, uint32_t code, const char *message, size_t len,
              const struct maas_usage *u)
{
    c->final = (struct wire_final){ .code = code };
    if (u)
        usage_to_wire(u, &c->final);
    c->message_len = len < sizeof c->message ? (uint32_t)len : (uint32_t)sizeof c->message;
    memcpy(c->message, message, c->message_len);
    c->state = WK_CLOSING;
    if (c->first || !send_final(c))
        wk_queue(c);
}

/* ---- what waits ---- */

/* Sends the next frame of one call.  False: the carrier is full. */
static bool send_next(struct maas_call *c)
{
    struct wk_piece *p = c->first;
    if (!p)
        return c->state != WK_CLOSING || send_final(c);
    ptrdiff_t n = send_frame(c, p->bytes + p->at, p->len - p->at, p->flags, &p->counters);
    if (n < 0)
        return !c->session->blocked;
    p->at += (size_t)n;
    if (p->at < p->len)
        return true;
    c->first = p->next;
    if (!c->first)
        c->last = NULL;
    free(p);
    return true;
}

/* Whether the call could send more now, credit willing. */
static bool has_more(const struct maas_call *c)
{
    if (c->first)
        return c->credit >= c->session->frame_max / 8 ||
               c->credit >= sizeof(struct wire_data) + c->first->len - c->first->at;
    return c->state == WK_CLOSING;
}

static void tell_writable(struct maas_call *c)
{
    struct maas_worker *w = c->session->worker;
    if (c->first || c->state != WK_OPEN || !c->wants_room)
        return;
    c->wants_room = false;
    if (w->handler.on_writable)
        w->handler.on_writable(c, w->arg);
}

static bool send_pong(struct wk_session *s)
{
    struct wire_head h = { .type = WIRE_PONG, .gen = s->pong_gen };
    if (s->carrier->room(s) < CONTROL_BYTES_MAX) {
        s->blocked = true;
        return false;
    }
    s->carrier->reserve(s, 0);
    s->carrier->commit(s, &h);
    s->pong_due = 0;
    return true;
}

void wk_flush(struct wk_session *s)
{
    s->blocked = false;
    if (s->pong_due && !send_pong(s))
        return;
    while (s->out_first && !s->dead) {
        struct maas_call *c = s->out_first;
        if (!send_next(c))
            return;
        s->out_first = c->next_out;
        if (!s->out_first)
            s->out_last = NULL;
        c->queued = false;
        if (has_more(c))
            wk_queue(c);
        else
            tell_writable(c);
    }
}
