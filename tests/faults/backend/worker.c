/* tests/faults/backend/worker.c -- the script over the worker protocol: plays become frames. */
#include "tests/faults/backend/carrier.h"
#include "base/usage.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct call {
    struct play play;        /* first */
    struct session *session; /* NULL: gone */
    LIST_ENTRY(call) all;
    uint32_t slot, gen;
    int64_t credit, cut_after;
    const char *cut_how;
    bool begun, wants_room, mute;
    struct wire_request request;
    struct buf text; /* both names, then the body */
};

/* ---- out ---- */

static void cut_now(struct call *c)
{
    c->mute = true;
    if (strcmp(c->cut_how, "garbage") == 0)
        session_raw(c->session, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                    16);
    else if (strcmp(c->cut_how, "hang") != 0)
        session_end(c->session, strcmp(c->cut_how, "reset") == 0);
}

static void put_half(struct session *s, const struct wire_head *h, const void *payload, size_t len)
{
    size_t head = len < sizeof *h ? len : sizeof *h;
    session_raw(s, h, head);
    session_raw(s, payload, len - head);
}

/* On a byte stream a cut leaves half a frame; a ring has no halves. */
static void put(struct call *c, struct wire_head h, const void *payload)
{
    struct session *s = c->session;
    int64_t len = (int64_t)(sizeof h + h.len);
    if (!s || c->mute)
        return;
    if (c->cut_after >= 0 && len > c->cut_after) {
        if (!s->shm)
            put_half(s, &h, payload, (size_t)c->cut_after);
        cut_now(c);
        return;
    }
    if (c->cut_after >= 0)
        c->cut_after -= len;
    session_send(s, &h, payload);
}

static void put_data(struct call *c, uint16_t flags, struct span bytes, const struct claim *claim)
{
    uint8_t payload[WIRE_FRAME_MAX];
    struct wire_data d = { .input_tokens = (uint32_t)claim->in,
                           .output_tokens = (uint32_t)claim->out };
    size_t most = sizeof payload - sizeof d;
    do {
        size_t n = bytes.len < most ? bytes.len : most;
        bool more = c->play.stream && n < bytes.len;
        memcpy(payload, &d, sizeof d);
        memcpy(payload + sizeof d, bytes.at, n);
        put(c,
            (struct wire_head){ .len = (uint32_t)(sizeof d + n),
                                .type = WIRE_DATA,
                                .flags = (uint16_t)(flags | (more ? WIRE_MORE : 0)),
                                .slot = c->slot,
                                .gen = c->gen },
            payload);
        c->credit -= (int64_t)(sizeof d + n);
        bytes = (struct span){ bytes.at + n, bytes.len - n };
    } while (bytes.len);
}

static bool room(struct play *p, size_t bytes)
{
    struct call *c = (struct call *)p;
    if (!c->session)
        return true;
    bool ok = c->credit >= (int64_t)(bytes + sizeof(struct wire_data)) && session_room(c->session);
    c->wants_room = !ok;
    return ok;
}

static void say(struct play *p, enum piece kind, struct span json, const struct claim *claim)
{
    uint16_t flags = claim->absent ? 0 : WIRE_USAGE;
    put_data((struct call *)p, (uint16_t)(flags | (kind == PIECE_USAGE ? WIRE_USAGE_EVENT : 0)),
             json, claim);
}

static void finish(struct play *p, int code, const struct claim *claim)
{
    struct call *c = (struct call *)p;
    struct wire_final f = { .code = (uint32_t)code };
    if (!claim->absent)
        f.present = 1u << METER_INPUT_UNCACHED | 1u << METER_OUTPUT_TEXT;
    f.qty[METER_INPUT_UNCACHED] = (uint64_t)claim->in;
    f.qty[METER_OUTPUT_TEXT] = (uint64_t)claim->out;
    if (c->session && c->slot < c->session->slots && c->session->calls[c->slot] == c)
        c->session->calls[c->slot] = NULL; /* the gateway may give the slot to another request */
    put(c,
        (struct wire_head){ .len = sizeof f,
                            .type = WIRE_FINAL,
                            .flags = claim->absent ? 0 : WIRE_USAGE,
                            .slot = c->slot,
                            .gen = c->gen },
        &f);
}

static void raw(struct play *p, struct span bytes)
{
    struct call *c = (struct call *)p;
    if (c->session && !c->mute)
        session_raw(c->session, bytes.at, bytes.len);
}

/* A number is meant; a text "+1" or "-1" is from the call's own. */
static uint32_t number(const struct step *s, const char *name, uint32_t own)
{
    const json_t *v = json_object_get(s->value, name);
    if (json_is_string(v))
        return own + (uint32_t)strtol(json_string_value(v), NULL, 10);
    return json_is_integer(v) ? (uint32_t)json_integer_value(v) : own;
}

/* {"frame": {"type":6, "flags":0, "slot":"+1", "gen":"-1", "text":"..", "zeros":16, "len":N}}: `len` lies. */
static void frame(struct play *p, const struct step *s)
{
    struct call *c = (struct call *)p;
    static const char zeros[WIRE_FRAME_MAX];
    const char *text = json_string_value(json_object_get(s->value, "text"));
    uint32_t zero = number(s, "zeros", 0);
    struct buf b;
    if (!c->session)
        return;
    buf_init(&b, WIRE_FRAME_MAX);
    if (!buf_add(&b, zeros, zero) || (text && !buf_text(&b, text)))
        abort();
    struct wire_head h = { .len = number(s, "len", (uint32_t)b.len),
                           .type = (uint16_t)number(s, "type", WIRE_DATA),
                           .flags = (uint16_t)number(s, "flags", 0),
                           .slot = number(s, "slot", c->slot),
                           .gen = number(s, "gen", c->gen) };
    if (h.len == b.len) {
        for (int64_t n = step_option(s, "times", 1); n > 0; n--)
            session_send(c->session, &h, b.len ? b.at : zeros);
    } else {
        session_raw(c->session, &h, sizeof h);
        session_raw(c->session, b.at, b.len);
    }
    buf_free(&b);
}

static void harm(struct play *p, const struct step *s)
{
    struct call *c = (struct call *)p;
    if (c->session &&
        !session_harm(c->session, json_string_value(s->value), step_option(s, "n", 1)))
        play_bad_step(s);
}

static void cut(struct play *p, int64_t after, const char *how)
{
    struct call *c = (struct call *)p;
    c->cut_after = after;
    c->cut_how = how ? how : "fin";
}

static void drop(struct play *p, bool reset)
{
    struct call *c = (struct call *)p;
    if (c->session)
        session_end(c->session, reset);
}

static void free_call(struct call *c)
{
    struct session *s = c->session;
    if (s && c->slot < s->slots && s->calls[c->slot] == c)
        s->calls[c->slot] = NULL;
    if (s)
        LIST_REMOVE(c, all);
    buf_free(&c->text);
    free(c);
}

static void forget(struct play *p)
{
    struct call *c = (struct call *)p;
    struct session *s = c->session;
    if (s && s->opening == p) {
        s->opening = NULL;
        if (!s->dead)
            worker_hello(s);
    }
    free_call(c);
}

static const struct channel shm_channel = { "shm", room, say, finish, NULL,  raw,
                                            frame, harm, cut, drop,   forget };
static const struct channel socket_channel = { "socket", room, say, finish, NULL,  raw,
                                               frame,    harm, cut, drop,   forget };

static const struct channel *channel_of(const struct session *s)
{
    return s->shm ? &shm_channel : &socket_channel;
}

/* ---- in ---- */

void worker_hello(struct session *s)
{
    struct wire_hello hello = { .magic = WIRE_MAGIC,
                                .version_min = WIRE_VERSION,
                                .version_max = WIRE_VERSION,
                                .max_inflight = s->script->slots,
                                .pid = (uint32_t)getpid(),
                                .name = "fault-backend" };
    session_send(s, &(struct wire_head){ .len = sizeof hello, .type = WIRE_HELLO }, &hello);
}

static void on_accept(struct session *s, const uint8_t *payload)
{
    struct wire_accept a;
    memcpy(&a, payload, sizeof a);
    s->slots = a.slots;
    s->calls = calloc(a.slots, sizeof(struct call *));
    if (!s->calls || (s->shm && !session_accept(s, &a))) {
        session_end(s, false);
        return;
    }
    session_send(s, &(struct wire_head){ .type = WIRE_READY }, NULL);
    s->up = true;
}

static struct call *new_call(struct session *s)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->session = s;
    c->cut_after = -1;
    c->play.connection = s->number;
    LIST_INSERT_HEAD(&s->all, c, all);
    buf_init(&c->text, 256 << 20);
    return c;
}

static void begin_when_whole(struct call *c, bool stream)
{
    const struct wire_request *r = &c->request;
    size_t names = (size_t)r->model_len + r->public_model_len;
    if (c->begun || c->text.len < names + r->body_len)
        return;
    char *model = strndup(c->text.at, r->model_len);
    char *public_model = strndup(c->text.at + r->model_len, r->public_model_len);
    struct asked a = { .model = model,
                       .stream = stream,
                       .body = { c->text.at + names, (size_t)r->body_len } };
    c->begun = true;
    c->play.rid = r->rid;
    play_begin(&c->play, channel_of(c->session), current_script(), &a, public_model);
    free(model);
    free(public_model);
}

static void on_request(struct session *s, const struct wire_head *h, const uint8_t *payload)
{
    struct call *c = new_call(s);
    memcpy(&c->request, payload, sizeof c->request);
    c->slot = h->slot;
    c->gen = h->gen;
    c->credit = WIRE_CREDIT_BYTES;
    c->play.stream = h->flags & WIRE_STREAM;
    s->calls[h->slot] = c;
    if (!buf_add(&c->text, payload + sizeof c->request, h->len - sizeof c->request))
        abort();
    begin_when_whole(c, c->play.stream);
}

static void on_cancel(struct call *c)
{
    if (c->begun) {
        play_cancel(&c->play);
        return;
    }
    struct wire_final f = { .code = 499 };
    put(c,
        (struct wire_head){ .len = sizeof f, .type = WIRE_FINAL, .slot = c->slot, .gen = c->gen },
        &f);
    free_call(c); /* its body was not even whole */
}

static void on_credit(struct call *c, const uint8_t *payload)
{
    struct wire_credit credit;
    memcpy(&credit, payload, sizeof credit);
    c->credit += credit.bytes;
    if (c->begun && c->wants_room)
        play_go_on(&c->play);
}

void worker_frame(struct session *s, const struct wire_head *h, const uint8_t *payload)
{
    if (h->type == WIRE_ACCEPT && !s->up)
        on_accept(s, payload);
    else if (h->type == WIRE_PING && s->script->pong)
        session_send(s, &(struct wire_head){ .type = WIRE_PONG, .gen = h->gen }, NULL);
    if (!s->calls || h->slot >= s->slots)
        return;
    if (h->type == WIRE_REQUEST)
        on_request(s, h, payload);
    struct call *c = s->calls[h->slot];
    if (!c || c->gen != h->gen)
        return;
    if (h->type == WIRE_BODY && buf_add(&c->text, payload, h->len))
        begin_when_whole(c, c->play.stream);
    else if (h->type == WIRE_CANCEL)
        on_cancel(c);
    else if (h->type == WIRE_CREDIT)
        on_credit(c, payload);
}

void worker_room(struct session *s)
{
    for (uint32_t i = 0; i < s->slots; i++)
        if (s->calls[i] && s->calls[i]->begun && s->calls[i]->wants_room)
            play_go_on(&s->calls[i]->play);
}

void worker_gone(struct session *s)
{
    s->opening = NULL;
    for (struct call *c; (c = LIST_FIRST(&s->all));) {
        LIST_REMOVE(c, all);
        c->session = NULL;
        if (c->begun)
            play_gone(&c->play);
        else
            free_call(c);
    }
}

/* ---- listening ---- */

struct door {
    uv_poll_t poll;
    int fd;
    bool shm;
};

static void on_knock(uv_poll_t *poll, int status, int events)
{
    struct door *d = poll->data;
    int on = 1, fd = accept4(d->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    (void)status, (void)events;
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails on a unix socket */
    struct session *s = session_new(fd, d->shm);
    const struct rule *rule = script_connection(s->script, s->number);
    if (!rule) {
        worker_hello(s);
        return;
    }
    struct call *c = new_call(s);
    c->slot = UINT32_MAX;
    c->begun = true;
    s->opening = &c->play;
    play_connection(&c->play, channel_of(s), script_ref(s->script), rule);
}

static int bind_path(int fd, const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof addr.sun_path)
        return -1;
    memcpy(addr.sun_path, path, strlen(path));
    unlink(path);
    return bind(fd, (const struct sockaddr *)&addr, sizeof addr);
}

static int bind_port(int fd, int port, int *ret_port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int rc = bind(fd, (const struct sockaddr *)&addr, sizeof addr);
    getsockname(fd, (struct sockaddr *)&addr, &len);
    *ret_port = ntohs(addr.sin_port);
    return rc;
}

int worker_listen(const char *where, int *ret_port)
{
    bool tcp = strncmp(where, "tcp:", 4) == 0, shm = strncmp(where, "shm:", 4) == 0;
    struct door *d = calloc(1, sizeof *d);
    if (!d || (!tcp && !shm && strncmp(where, "unix:", 5) != 0))
        return 1;
    const char *rest = strchr(where, ':') + 1;
    d->shm = shm;
    d->fd = socket(tcp ? AF_INET : AF_UNIX,
                   (shm ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = tcp ? bind_port(d->fd, (int)strtol(rest, NULL, 10), ret_port) : bind_path(d->fd, rest);
    if (d->fd < 0 || rc != 0 || listen(d->fd, 128) != 0)
        return 1;
    uv_poll_init(loop(), &d->poll, d->fd);
    d->poll.data = d;
    uv_poll_start(&d->poll, UV_READABLE, on_knock);
    carrier_start();
    return 0;
}
