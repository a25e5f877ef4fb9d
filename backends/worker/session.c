/* backends/worker/session.c -- one connected gateway loop: handshake, then frames into calls.
 *
 * The gateway is trusted with nothing either: a frame that makes no sense ends
 * the session, and with it every call of that session.
 */
#include "backends/worker/internal.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const struct maas_usage usage_none = MAAS_USAGE_NONE;

void wk_session_new(struct maas_worker *w, int fd, const struct wk_carrier *carrier)
{
    struct wk_session *s = w->session_count < WK_SESSIONS_MAX ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        close(fd);
        return;
    }
    *s = (struct wk_session){
        .worker = w, .carrier = carrier, .fd = fd, .fds = { -1, -1 }, .frame_max = WIRE_FRAME_MAX
    };
    s->accept_by_ms = wk_now_ms() + WK_ACCEPT_TIMEOUT_MS;
    struct wire_hello hello = { .magic = WIRE_MAGIC,
                                .version_min = WIRE_VERSION_MIN,
                                .version_max = WIRE_VERSION,
                                .max_inflight = w->max_inflight,
                                .pid = (uint32_t)getpid() };
    memcpy(hello.name, w->name, sizeof hello.name);
    struct wire_head h = { .len = sizeof hello, .type = WIRE_HELLO };
    s->next = w->sessions;
    w->sessions = s;
    w->session_count++;
    if (!wk_watch(w, fd, s, false) || !carrier->say(s, &h, &hello))
        s->dead = true;
}

static void drop_pieces(struct maas_call *c)
{
    for (struct wk_piece *p = c->first, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    c->first = c->last = NULL;
}

void wk_call_free(struct maas_call *c)
{
    drop_pieces(c);
    if (c->text_size > WK_BODY_KEPT_BYTES) {
        free(c->text);
        c->text = NULL;
        c->text_size = 0;
    }
    c->state = WK_FREE;
}

void wk_session_free(struct wk_session *s)
{
    struct maas_worker *w = s->worker;
    s->dead = true;
    for (uint32_t i = 0; s->calls && i < s->slots; i++) {
        struct maas_call *c = &s->calls[i];
        if (c->state == WK_OPEN) {
            wk_journal(c, "cancel", &c->so_far);
            if (w->handler.on_gone)
                w->handler.on_gone(c, w->arg);
        }
        wk_call_free(c);
        free(c->text);
    }
    close(s->fd);
    s->carrier->release(s);
    free(s->calls);
    free(s);
}

/* ---- handshake ---- */

static bool accept_is_sane(const struct wk_session *s, const struct wire_accept *a)
{
    return a->magic == WIRE_MAGIC && a->version >= WIRE_VERSION_MIN && a->version <= WIRE_VERSION &&
           a->slots >= 1 && a->slots <= s->worker->max_inflight && a->frame_max >= 4096 &&
           a->frame_max <= WIRE_FRAME_MAX && a->credit_bytes >= 4096;
}

static bool on_accept(struct wk_session *s, const struct wire_head *h, const uint8_t *payload)
{
    struct wire_accept a;
    if (s->up || h->len != sizeof a)
        return false;
    memcpy(&a, payload, sizeof a);
    if (!accept_is_sane(s, &a))
        return false;
    s->version = a.version;
    s->slots = a.slots;
    s->credit_bytes = a.credit_bytes;
    s->frame_max = a.frame_max;
    s->calls = calloc(a.slots, sizeof *s->calls);
    if (!s->calls || !s->carrier->accept(s, &a))
        return false;
    for (uint32_t i = 0; i < a.slots; i++)
        s->calls[i] = (struct maas_call){ .session = s, .slot = i };
    struct wire_head ready = { .type = WIRE_READY };
    s->up = s->carrier->say(s, &ready, NULL);
    return s->up;
}

/* ---- requests ---- */

/* Room for both names, the body and three NULs in the slot's one buffer. */
static bool make_text(struct maas_call *c, const struct wire_request *r)
{
    size_t need = (size_t)r->model_len + r->public_model_len + (size_t)r->body_len + 3;
    if (need <= c->text_size)
        return true;
    size_t size = need < 4096 ? 4096 : need;
    free(c->text);
    c->text = malloc(size);
    c->text_size = c->text ? size : 0;
    return c->text != NULL;
}

static void fill_request(struct maas_call *c, const struct wire_request *r, const uint8_t *names,
                         bool stream)
{
    char *model = c->text, *public_model = model + r->model_len + 1;
    char *body = public_model + r->public_model_len + 1;
    memcpy(model, names, r->model_len);
    memcpy(public_model, names + r->model_len, r->public_model_len);
    model[r->model_len] = public_model[r->public_model_len] = body[r->body_len] = '\0';
    c->req = (struct maas_request){
        .request_id = r->rid,
        .capability = (enum maas_capability)r->capability,
        .model = model,
        .public_model = public_model,
        .stream = stream,
        .body = body,
        .body_len = (size_t)r->body_len,
        .max_output_tokens = r->max_out,
        .deadline_ms = r->deadline_ms,
        .content_type = "application/json",
        .header_len = -1,
    };
}

/* Takes the format off the front of `bytes`; false: it makes no sense. */
static bool take_format(struct maas_call *c, struct span *bytes)
{
    struct wire_format f;
    if (c->session->version < 2 || bytes->len < sizeof f)
        return false;
    memcpy(&f, bytes->at, sizeof f);
    if (f.content_type_len > WIRE_CONTENT_TYPE_MAX || f.content_type_len > bytes->len - sizeof f)
        return false;
    memcpy(c->request_type, bytes->at + sizeof f, f.content_type_len);
    c->request_type[f.content_type_len] = '\0';
    if (f.content_type_len)
        c->req.content_type = c->request_type;
    if (f.header_len != WIRE_NOT_TENSORS)
        c->req.header_len = f.header_len;
    size_t taken = sizeof f + f.content_type_len;
    *bytes = (struct span){ bytes->at + taken, bytes->len - taken };
    return f.header_len == WIRE_NOT_TENSORS || f.header_len <= c->req.body_len;
}

static void begin_call(struct maas_call *c, uint32_t gen)
{
    c->gen = gen;
    c->credit = c->session->credit_bytes;
    c->state = WK_BODY;
    c->cancelled = c->wants_room = c->chat_began = c->format_due = c->data_sent = false;
    c->body_got = 0;
    c->data = NULL;
    c->created = (int64_t)time(NULL);
    c->so_far = usage_none;
    c->utf8_len = 0;
}

/* More of the body; hands the call to the engine when it is complete. */
static bool take_body(struct maas_call *c, const char *bytes, size_t len, bool last)
{
    size_t at = (size_t)(c->req.body - c->text) + c->body_got;
    if (len > c->req.body_len - c->body_got || last != (c->body_got + len == c->req.body_len))
        return false;
    memcpy(c->text + at, bytes, len);
    c->body_got += len;
    if (last) {
        struct maas_worker *w = c->session->worker;
        c->state = WK_OPEN;
        wk_journal(c, "start", &usage_none);
        w->handler.on_request(c, &c->req, w->arg);
    }
    return true;
}

static bool on_request(struct wk_session *s, const struct wire_head *h, const uint8_t *payload)
{
    struct wire_request r;
    if (h->slot >= s->slots || s->calls[h->slot].state != WK_FREE || h->len < sizeof r)
        return false;
    struct maas_call *c = &s->calls[h->slot];
    memcpy(&r, payload, sizeof r);
    size_t names = (size_t)r.model_len + r.public_model_len;
    if (names > h->len - sizeof r)
        return false;
    begin_call(c, h->gen);
    if (r.body_len > WK_BODY_BYTES_MAX || !make_text(c, &r)) {
        c->req = (struct maas_request){ .request_id = r.rid };
        wk_final(c, r.body_len > WK_BODY_BYTES_MAX ? 413 : 503, "", 0, NULL);
        return true;
    }
    fill_request(c, &r, payload + sizeof r, h->flags & WIRE_STREAM);
    struct span rest = { (const char *)payload + sizeof r + names, h->len - sizeof r - names };
    if ((h->flags & WIRE_FORMAT) && !take_format(c, &rest))
        return false;
    return take_body(c, rest.at, rest.len, h->flags & WIRE_LAST);
}

/* The call a frame is about; NULL when it has ended, which a gateway cannot know yet. */
static struct maas_call *find(struct wk_session *s, const struct wire_head *h)
{
    struct maas_call *c = h->slot < s->slots ? &s->calls[h->slot] : NULL;
    return c && c->state != WK_FREE && c->gen == h->gen ? c : NULL;
}

static bool on_body(struct wk_session *s, const struct wire_head *h, const uint8_t *payload)
{
    struct maas_call *c = find(s, h);
    if (!c || c->state == WK_CLOSING)
        return true;
    return c->state == WK_BODY && take_body(c, (const char *)payload, h->len, h->flags & WIRE_LAST);
}

static bool on_cancel(struct wk_session *s, const struct wire_head *h)
{
    struct maas_call *c = find(s, h);
    if (!c || c->cancelled)
        return true;
    struct maas_worker *w = s->worker;
    c->cancelled = true;
    drop_pieces(c);
    if (c->state == WK_BODY) {
        wk_final(c, 499, "", 0, NULL);
    } else if (c->state == WK_OPEN) {
        wk_journal(c, "cancel", &c->so_far);
        if (c->wants_room)
            wk_queue(c); /* an engine without on_cancel learns it from its next send */
        if (w->handler.on_cancel)
            w->handler.on_cancel(c, w->arg);
    } else {
        wk_queue(c); /* only FINAL is left to send, and it needs no credit */
    }
    return true;
}

static bool on_credit(struct wk_session *s, const struct wire_head *h, const uint8_t *payload)
{
    struct wire_credit credit;
    struct maas_call *c = find(s, h);
    if (h->len != sizeof credit)
        return false;
    memcpy(&credit, payload, sizeof credit);
    if (!c)
        return true;
    if (credit.bytes > s->credit_bytes - c->credit)
        return false;
    c->credit += credit.bytes;
    if (c->first)
        wk_queue(c);
    return true;
}

static bool on_ping(struct wk_session *s, const struct wire_head *h)
{
    s->pong_due = 1;
    s->pong_gen = h->gen;
    return h->len == 0;
}

static bool dispatch(struct wk_session *s, const struct wire_head *h, const uint8_t *payload)
{
    if (!s->up)
        return h->type == WIRE_ACCEPT && on_accept(s, h, payload);
    switch (h->type) {
    case WIRE_REQUEST:
        return on_request(s, h, payload);
    case WIRE_BODY:
        return on_body(s, h, payload);
    case WIRE_CREDIT:
        return on_credit(s, h, payload);
    case WIRE_CANCEL:
        return on_cancel(s, h);
    case WIRE_PING:
        return on_ping(s, h);
    default:
        return h->type >= 0x8000;
    }
}

void wk_frame(struct wk_session *s, const struct wire_head *h, const uint8_t *payload)
{
    if (!dispatch(s, h, payload))
        s->dead = true;
}
