/* tests/faults/backend/http.c -- the script over HTTP/1.1, one request at a time on a kept connection. */
#include "tests/faults/backend/play.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { OUT_BYTES_MAX = 256 * 1024, REQUEST_BYTES_MAX = 128 << 20 };

struct talk { /* one connection */
    uv_tcp_t tcp;
    unsigned number;
    struct http_play *play;
    struct buf in;
    size_t request_len; /* of the request that is being answered */
    bool closing, mute;
    int64_t cut_after; /* bytes; < 0: never */
    const char *cut_how;
};

struct http_play {
    struct play play; /* first */
    struct talk *talk;
    bool head_sent, chunked, until_close;
};

struct sending {
    uv_write_t req;
    struct talk *talk;
    char bytes[];
};

static void on_closed(uv_handle_t *h)
{
    struct talk *t = h->data;
    buf_free(&t->in);
    free(t);
}

static void close_talk(struct talk *t, bool reset)
{
    if (t->closing)
        return;
    t->closing = true;
    if (t->play) {
        t->play->talk = NULL;
        play_gone(&t->play->play);
    }
    if (!reset || uv_tcp_close_reset(&t->tcp, on_closed) != 0)
        uv_close((uv_handle_t *)&t->tcp, on_closed);
}

/* ---- output ---- */

static void on_sent(uv_write_t *req, int status)
{
    struct sending *s = req->data;
    struct talk *t = s->talk;
    free(s);
    if (status == 0 && !t->closing && t->play)
        play_go_on(&t->play->play);
}

static void write_bytes(struct talk *t, const char *bytes, size_t len)
{
    uv_buf_t b = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
    int n = uv_try_write((uv_stream_t *)&t->tcp, &b, 1);
    size_t done = n > 0 ? (size_t)n : 0;
    if (done == len)
        return;
    struct sending *s = malloc(sizeof *s + len - done);
    if (!s)
        abort();
    s->talk = t;
    s->req.data = s;
    memcpy(s->bytes, bytes + done, len - done);
    b = uv_buf_init(s->bytes, (unsigned)(len - done));
    if (uv_write(&s->req, (uv_stream_t *)&t->tcp, &b, 1, on_sent) != 0)
        free(s);
}

static void cut_now(struct talk *t)
{
    static const char garbage[] = "\x00\xff{\"\r\n\r\nHTTP/1.1 200 garbage\r\n";
    t->mute = true;
    if (strcmp(t->cut_how, "hang") == 0)
        return;
    if (strcmp(t->cut_how, "garbage") == 0)
        write_bytes(t, garbage, sizeof garbage - 1);
    close_talk(t, strcmp(t->cut_how, "reset") == 0);
}

static void put(struct http_play *p, const char *bytes, size_t len)
{
    struct talk *t = p->talk;
    if (!t || t->closing || t->mute)
        return;
    size_t now = len;
    if (t->cut_after >= 0 && (int64_t)len > t->cut_after)
        now = (size_t)t->cut_after;
    write_bytes(t, bytes, now);
    if (t->cut_after >= 0)
        t->cut_after -= (int64_t)now;
    if (now < len)
        cut_now(t);
}

static bool room(struct play *base, size_t bytes)
{
    struct talk *t = ((struct http_play *)base)->talk;
    return !t || uv_stream_get_write_queue_size((uv_stream_t *)&t->tcp) + bytes <= OUT_BYTES_MAX;
}

/* ---- OpenAI over HTTP ---- */

static void put_text(struct http_play *p, const char *text)
{
    put(p, text, strlen(text));
}

static void default_head(struct http_play *p, int code, size_t len)
{
    char text[256];
    if (p->head_sent)
        return;
    p->head_sent = true;
    p->chunked = p->play.stream && code == 200;
    if (p->chunked)
        snprintf(text, sizeof text,
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n");
    else
        snprintf(text, sizeof text,
                 "HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\n\r\n",
                 code, len);
    put_text(p, text);
}

static void say(struct play *base, enum piece kind, struct span json, const struct claim *claim)
{
    struct http_play *p = (struct http_play *)base;
    struct buf b;
    (void)claim;
    buf_init(&b, 128 << 20);
    default_head(p, 200, json.len);
    bool event = kind != PIECE_BODY && base->stream;
    size_t len = json.len + (event ? 8 : 0);
    bool ok = (!p->chunked || buf_printf(&b, "%zx\r\n", len)) &&
              buf_printf(&b, event ? "data: %.*s\n\n" : "%.*s", (int)json.len, json.at) &&
              (!p->chunked || buf_text(&b, "\r\n"));
    if (!ok)
        abort();
    put(p, b.at, b.len);
    buf_free(&b);
}

static void finish(struct play *base, int code, const struct claim *claim)
{
    static const char error[] = "{\"error\":{\"message\":\"as the script says\","
                                "\"type\":\"server_error\",\"param\":null,\"code\":null}}";
    struct http_play *p = (struct http_play *)base;
    bool begun = p->head_sent;
    if (code == 499)
        return;
    if (code && !begun)
        default_head(p, code, sizeof error - 1);
    if (code && !p->chunked)
        put_text(p, error);
    else if (code)
        say(base, PIECE_TOKEN, SPAN(error), claim);
    else if (base->stream)
        say(base, PIECE_TOKEN, SPAN("[DONE]"), claim);
    if (p->chunked)
        put_text(p, "0\r\n\r\n");
}

/* {"head": 200, "headers": {..}}: exactly these, and the body's framing as they say. */
static void head(struct play *base, const struct step *s)
{
    struct http_play *p = (struct http_play *)base;
    json_t *headers = json_object_get(s->object, "headers"), *value;
    const char *name;
    struct buf b;
    buf_init(&b, 1 << 20);
    bool ok = buf_printf(&b, "HTTP/1.1 %d Scripted\r\n", s->n ? (int)s->n : 200), sized = false;
    json_object_foreach (headers, name, value) {
        const char *text = json_string_value(value);
        ok = ok && buf_printf(&b, "%s: %s\r\n", name, text ? text : "");
        p->chunked |= strcasecmp(name, "transfer-encoding") == 0;
        sized |= strcasecmp(name, "content-length") == 0;
    }
    if (!ok || !buf_text(&b, "\r\n"))
        abort();
    p->head_sent = true;
    p->until_close = !p->chunked && !sized;
    put(p, b.at, b.len);
    buf_free(&b);
}

static void raw(struct play *base, struct span bytes)
{
    ((struct http_play *)base)->head_sent = true; /* the script speaks for itself */
    put((struct http_play *)base, bytes.at, bytes.len);
}

static void cut(struct play *base, int64_t after, const char *how)
{
    struct talk *t = ((struct http_play *)base)->talk;
    t->cut_after = after;
    t->cut_how = how ? how : "fin";
}

static void drop(struct play *base, bool reset)
{
    struct http_play *p = (struct http_play *)base;
    if (p->talk)
        close_talk(p->talk, reset);
}

/* ---- input ---- */

static void next_request(struct talk *t);

static void forget(struct play *base)
{
    struct http_play *p = (struct http_play *)base;
    struct talk *t = p->talk;
    bool last = p->until_close;
    free(p);
    if (!t || t->closing)
        return;
    t->play = NULL;
    t->cut_after = -1;
    memmove(t->in.at, t->in.at + t->request_len, t->in.len - t->request_len);
    t->in.len -= t->request_len;
    t->request_len = 0;
    if (last)
        close_talk(t, false);
    else
        next_request(t);
}

static const struct channel http_channel = { "http", room, say, finish, head,  raw,
                                             NULL,   NULL, cut, drop,   forget };

static const char *field(const char *head_text, const char *name)
{
    const char *at = strcasestr(head_text, name);
    return at ? at + strlen(name) : "";
}

static struct http_play *new_play(struct talk *t)
{
    struct http_play *p = calloc(1, sizeof *p);
    if (!p)
        abort();
    p->talk = t;
    p->play.connection = t->number;
    t->play = p;
    return p;
}

/* `head_text` ends with a NUL in place of the empty line's last byte. */
static void begin(struct talk *t, char *head_text, struct span body)
{
    struct http_play *p = new_play(t);
    char id[RID_TEXT_BYTES] = "", path[256] = "";
    sscanf(field(head_text, "\r\nx-request-id: "), "%17s", id);
    sscanf(head_text, "%*15s %255s", path);
    rid_parse(id, &p->play.rid);
    bool stream = memmem(body.at, body.len, "\"stream\":true", 13) ||
                  memmem(body.at, body.len, "\"stream\": true", 14);
    struct asked a = {
        .path = path, .stream = stream, .body = body, .headers = { head_text, strlen(head_text) }
    };
    play_begin(&p->play, &http_channel, current_script(), &a, NULL);
}

static void next_request(struct talk *t)
{
    char *end = t->in.len ? strstr(t->in.at, "\r\n\r\n") : NULL;
    if (!end || t->play || t->closing)
        return;
    end[3] = '\0';
    size_t head_len = (size_t)(end + 4 - t->in.at);
    size_t body = strtoul(field(t->in.at, "\r\ncontent-length:"), NULL, 10);
    end[3] = '\n';
    if (t->in.len < head_len + body)
        return;
    end[3] = '\0';
    t->request_len = head_len + body;
    begin(t, t->in.at, (struct span){ t->in.at + head_len, body });
}

static void give_room(uv_handle_t *h, size_t size, uv_buf_t *b)
{
    static char bytes[65536];
    (void)h, (void)size;
    *b = uv_buf_init(bytes, sizeof bytes);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct talk *t = stream->data;
    if (n < 0) {
        close_talk(t, false);
        return;
    }
    if (!buf_add(&t->in, b->base, (size_t)n))
        abort();
    next_request(t);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct talk *t = calloc(1, sizeof *t);
    struct script *s = current_script();
    if (status < 0 || !t)
        abort();
    buf_init(&t->in, REQUEST_BYTES_MAX);
    t->cut_after = -1;
    t->number = next_connection();
    uv_tcp_init(loop(), &t->tcp);
    t->tcp.data = t;
    uv_accept(server, (uv_stream_t *)&t->tcp);
    uv_tcp_nodelay(&t->tcp, 1);
    uv_read_start((uv_stream_t *)&t->tcp, give_room, on_read);
    const struct rule *rule = script_connection(s, t->number);
    if (rule)
        play_connection(&new_play(t)->play, &http_channel, s, rule);
    else
        script_unref(s);
}

int http_listen(const char *where, int *ret_port)
{
    static uv_tcp_t servers[16];
    static unsigned count;
    struct sockaddr_in addr;
    int len = sizeof addr;
    uv_tcp_t *server = &servers[count++];
    uv_ip4_addr("127.0.0.1", (int)strtol(where, NULL, 10), &addr);
    uv_tcp_init(loop(), server);
    int rc = uv_tcp_bind(server, (const struct sockaddr *)&addr, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)server, 1024, on_connection);
    if (rc == 0)
        rc = uv_tcp_getsockname(server, (struct sockaddr *)&addr, &len);
    *ret_port = ntohs(addr.sin_port);
    return rc;
}
