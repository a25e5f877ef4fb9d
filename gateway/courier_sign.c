/* gateway/courier_sign.c -- Standard Webhooks: the id, the time and the bytes, signed. */
#include "base/base64.h"
#include "base/cleanup.h"
#include "gateway/courier_parts.h"
#include <inttypes.h>
#include <stdio.h>

/* "v1,..", by each key. */
static bool signatures(const struct catalog_webhook *w, const char *id, int64_t seconds,
                       struct span body, char text[static SIGNED_HEADER_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    char each[BASE64_TEXT_BYTES(DIGEST_BYTES)];
    int used = snprintf(text, SIGNED_HEADER_BYTES, "webhook-signature:");
    AUTO(buf_free) struct buf all;
    buf_init(&all, EVENT_BYTES_MAX + SIGNED_HEADER_BYTES);
    if (!buf_printf(&all, "%s.%" PRId64 ".", id, seconds) || !buf_add(&all, body.at, body.len))
        return false;
    for (unsigned k = 0; k < w->key_count; k++) {
        hmac_sha256(&w->keys[k], all.at, all.len, digest);
        used += snprintf(text + used, (size_t)(SIGNED_HEADER_BYTES - used), " v1,%s",
                         base64_encode(digest, sizeof digest, each));
    }
    return true;
}

bool courier_sign(struct signed_post *p, const struct catalog *c, const struct catalog_webhook *w,
                  const char *id, int64_t now_us)
{
    int64_t seconds = now_us / 1000000;
    if (!signatures(w, id, seconds, buf_span(&p->body), p->line[3]))
        return false;
    snprintf(p->line[0], SIGNED_HEADER_BYTES, "content-type: application/json");
    snprintf(p->line[1], SIGNED_HEADER_BYTES, "webhook-id: %s", id);
    snprintf(p->line[2], SIGNED_HEADER_BYTES, "webhook-timestamp: %" PRId64, seconds);
    for (int i = 0; i < SIGNED_HEADERS; i++)
        p->headers[i] = p->line[i];
    p->post = (struct http_post){ .url = w->url,
                                  .tls = w->tls,
                                  .egress = &c->egress,
                                  .timeout_ms = c->alerts.timeout_ms,
                                  .headers = p->headers,
                                  .body = buf_span(&p->body) };
    return true;
}
