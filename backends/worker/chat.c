/* backends/worker/chat.c -- writes OpenAI's chat.completion, chat.completion.chunk and text_completion.
 *
 * The engine's text may be any bytes: what is not UTF-8 becomes U+FFFD, and a
 * character that is cut by the end of a delta waits for the next one.
 */
#include "backends/worker/internal.h"
#include "base/rid.h"
#include <stdio.h>

/* Length of the character at p: 1..4; 0: not UTF-8; -1: the text ends inside it. */
static int utf8_len(const unsigned char *p, size_t left)
{
    unsigned char lead = p[0];
    int len = lead < 0x80                   ? 1
              : lead >= 0xc2 && lead < 0xe0 ? 2
              : (lead & 0xf0) == 0xe0       ? 3
              : lead >= 0xf0 && lead < 0xf5 ? 4
                                            : 0;
    for (int i = 1; i < len; i++) {
        if ((size_t)i >= left)
            return -1;
        unsigned char low = 0x80, high = 0xbf;
        if (i == 1) { /* no overlong form, no surrogate, nothing above U+10FFFF */
            low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
            high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        }
        if (p[i] < low || p[i] > high)
            return 0;
    }
    return len;
}

static bool add_escape(struct buf *b, unsigned char c)
{
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *at = c ? strchr(meant, c) : NULL;
    if (at && c != '/')
        return buf_printf(b, "\\%c", plain[at - meant]);
    return buf_printf(b, "\\u%04x", c);
}

/* The inside of a JSON string.  Bytes of a character that is cut by the end are left to the caller. */
static bool add_text(struct buf *b, const char *text, size_t len, size_t *ret_taken)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t run = 0, at = 0;
    bool ok = true;
    while (ok && at < len) {
        int n = utf8_len(p + at, len - at);
        if (n < 0)
            break;
        if (n > 0 && p[at] >= 0x20 && p[at] != '"' && p[at] != '\\') {
            at += (size_t)n;
            continue;
        }
        ok = buf_add(b, text + run, at - run) &&
             (n ? add_escape(b, p[at]) : buf_text(b, "\xef\xbf\xbd"));
        run = ++at;
    }
    *ret_taken = at;
    return ok && buf_add(b, text + run, at - run);
}

static bool add_string(struct buf *b, const char *text, size_t len)
{
    size_t taken;
    return buf_text(b, "\"") && add_text(b, text, len, &taken) &&
           (taken == len || buf_text(b, "\xef\xbf\xbd")) && buf_text(b, "\"");
}

/* The words in which the two endpoints for text differ. */
struct shape {
    const char *id, *event, *whole;  /* prefix of the id; `object` of an event, of a body */
    const char *first, *delta, *end; /* before the text of the first event, of others; behind */
    const char *last;                /* all of an event without text, after the first */
    const char *open, *close;        /* around the whole text */
};

static const struct shape chat_shape = {
    .id = "chatcmpl-",
    .event = "chat.completion.chunk",
    .whole = "chat.completion",
    .first = "\"delta\":{\"role\":\"assistant\",\"content\":\"",
    .delta = "\"delta\":{\"content\":\"",
    .end = "\"}",
    .last = "\"delta\":{}",
    .open = "\"message\":{\"role\":\"assistant\",\"content\":",
    .close = "}",
};
static const struct shape text_shape = {
    .id = "cmpl-",
    .event = "text_completion",
    .whole = "text_completion",
    .first = "\"logprobs\":null,\"text\":\"",
    .delta = "\"logprobs\":null,\"text\":\"",
    .end = "\"",
    .last = "\"logprobs\":null,\"text\":\"\"",
    .open = "\"logprobs\":null,\"text\":",
    .close = "",
};

static const struct shape *shape_of(const struct maas_call *c)
{
    return c->req.capability == MAAS_COMPLETIONS ? &text_shape : &chat_shape;
}

static bool add_head(struct buf *b, const struct maas_call *c, const char *object)
{
    char id[RID_TEXT_BYTES] = "req_0";
    if (c->req.request_id > 0)
        rid_text(c->req.request_id, id);
    buf_clear(b);
    return buf_printf(b, "{\"id\":\"%s%s\",\"object\":\"%s\",\"created\":%lld,\"model\":",
                      shape_of(c)->id, id + 4, object, (long long)c->created) &&
           add_string(b, c->req.public_model, strlen(c->req.public_model));
}

static int64_t sum(const int64_t *n, size_t count)
{
    int64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += n[i] > 0 ? n[i] : 0;
    return total;
}

static bool add_usage(struct buf *b, const struct maas_usage *u)
{
    int64_t in =
        sum((int64_t[]){ u->input_tokens, u->input_cached_tokens, u->input_cache_write_tokens }, 3);
    int64_t out = sum((int64_t[]){ u->output_tokens, u->output_reasoning_tokens }, 2);
    return buf_printf(
        b,
        ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
        "\"prompt_tokens_details\":{\"cached_tokens\":%lld},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":%lld}}}",
        (long long)in, (long long)out, (long long)(in + out),
        (long long)sum(&u->input_cached_tokens, 1), (long long)sum(&u->output_reasoning_tokens, 1));
}

/* The cut character of the last delta, completed by this one, goes first. */
static bool add_delta_text(struct buf *b, struct maas_call *c, const char *text, size_t len,
                           size_t *ret_left)
{
    char joined[8];
    size_t taken = 0, extra = len < 4 ? len : 4;
    if (c->utf8_len) {
        memcpy(joined, c->utf8, c->utf8_len);
        memcpy(joined + c->utf8_len, text, extra);
        int n = utf8_len((const unsigned char *)joined, c->utf8_len + extra);
        size_t used = n > 0 ? (size_t)n : c->utf8_len + (n < 0 ? extra : 0);
        if (n < 0) {
            *ret_left = len;
            return true;
        }
        if (!(n ? buf_add(b, joined, used) : buf_text(b, "\xef\xbf\xbd")))
            return false;
        text += used - c->utf8_len;
        len -= used - c->utf8_len;
    }
    bool ok = add_text(b, text, len, &taken);
    *ret_left = len - taken;
    return ok;
}

/* Remembers the last `left` bytes, the beginning of a character. */
static void keep_cut(struct maas_call *c, const char *text, size_t len, size_t left)
{
    if (left == len && c->utf8_len + left <= 3) {
        memcpy(c->utf8 + c->utf8_len, text, left); /* still not whole: add to what waits */
        c->utf8_len += (uint32_t)left;
        return;
    }
    memcpy(c->utf8, text + len - left, left);
    c->utf8_len = (uint32_t)left;
}

int maas_chat_delta(struct maas_call *c, const char *text, size_t len,
                    const struct maas_usage *so_far)
{
    const struct shape *shape = shape_of(c);
    struct buf *b = &c->session->worker->scratch;
    size_t left;
    if (!c->req.stream)
        return MAAS_INVALID;
    if (!add_head(b, c, shape->event) || !buf_text(b, ",\"choices\":[{\"index\":0,") ||
        !buf_text(b, c->chat_began ? shape->delta : shape->first) ||
        !add_delta_text(b, c, text, len, &left) || !buf_text(b, shape->end) ||
        !buf_text(b, ",\"finish_reason\":null}]}"))
        return MAAS_INVALID;
    int rc = maas_call_send(c, b->at, b->len, so_far);
    if (rc == MAAS_OK) {
        c->chat_began = true;
        keep_cut(c, text, len, left);
    }
    return rc;
}

static bool send_end_of_stream(struct maas_call *c, const char *finish_reason,
                               const struct maas_usage *usage)
{
    const struct shape *shape = shape_of(c);
    struct buf *b = &c->session->worker->scratch;
    if (!add_head(b, c, shape->event) || !buf_text(b, ",\"choices\":[{\"index\":0,") ||
        !buf_text(b, c->chat_began ? shape->last : shape->first) ||
        !buf_text(b, c->chat_began ? "" : shape->end) || !buf_text(b, ",\"finish_reason\":") ||
        !add_string(b, finish_reason, strlen(finish_reason)) || !buf_text(b, "}]}") ||
        wk_send(c, b->at, b->len, wk_counts(usage), true) == MAAS_INVALID)
        return false;
    return add_head(b, c, shape->event) && buf_text(b, ",\"choices\":[]") && add_usage(b, usage) &&
           wk_send(c, b->at, b->len, (uint16_t)(wk_counts(usage) | WIRE_USAGE_EVENT), true) !=
               MAAS_INVALID;
}

static bool send_whole(struct maas_call *c, const char *text, size_t len, const char *finish_reason,
                       const struct maas_usage *usage)
{
    const struct shape *shape = shape_of(c);
    struct buf *b = &c->session->worker->scratch;
    return add_head(b, c, shape->whole) && buf_text(b, ",\"choices\":[{\"index\":0,") &&
           buf_text(b, shape->open) && add_string(b, text, len) && buf_text(b, shape->close) &&
           buf_text(b, ",\"finish_reason\":") &&
           add_string(b, finish_reason, strlen(finish_reason)) && buf_text(b, "}]") &&
           add_usage(b, usage) && wk_send(c, b->at, b->len, wk_counts(usage), true) != MAAS_INVALID;
}

int maas_chat_finish(struct maas_call *c, const char *text, size_t len, const char *finish_reason,
                     const struct maas_usage *usage)
{
    static const struct maas_usage none = MAAS_USAGE_NONE;
    if (c->state != WK_OPEN)
        return MAAS_INVALID;
    c->so_far = usage ? *usage : none;
    bool ok = c->req.stream ? send_end_of_stream(c, finish_reason, &c->so_far)
                            : send_whole(c, text, len, finish_reason, &c->so_far);
    if (!ok)
        return maas_call_fail(c, 500, "the answer could not be written", usage);
    return maas_call_finish(c, usage);
}
