/* gateway/idempotency.c -- see idempotency.h. */
#include "gateway/idempotency.h"
#include "gateway/kind.h"
#include "gateway/request.h"
#include "gateway/stream.h"
#include <stdio.h>
#include <stdlib.h>

static const char name[] = "Idempotency-Key";

struct named { /* what r->idem points to */
    struct idem idem;
    struct buf said; /* the events of its stream so far */
    bool lost;       /* they were more than may be kept */
};

static struct named *named_of(struct request *r)
{
    return (struct named *)r->idem; /* idem is its first member */
}

/* The draft has a quoted string; nearly all clients send it bare. */
static struct span unquoted(struct span v)
{
    bool quoted = v.len >= 2 && v.at[0] == '"' && v.at[v.len - 1] == '"';
    return quoted ? (struct span){ v.at + 1, v.len - 2 } : v;
}

static bool is_key(struct span v)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.at[i] <= 0x20 || v.at[i] >= 0x7f || v.at[i] == '"' || v.at[i] == '\\')
            return false;
    return v.len > 0 && v.len <= IDEMPOTENCY_KEY_BYTES_MAX;
}

enum verdict idempotency_check(struct request *r)
{
    if (r->in.idempotency_headers > 1)
        return request_fail(r, STATUS_BAD_FIELD, name, "%s may be sent once", name);
    r->in.idempotency_key = unquoted(r->in.idempotency_key);
    if (!is_key(r->in.idempotency_key))
        return request_fail(r, STATUS_BAD_FIELD, name,
                            "%s must be 1 to %d printable ASCII characters without spaces", name,
                            IDEMPOTENCY_KEY_BYTES_MAX);
    return NEXT;
}

/* ---- the fingerprint ----------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Behind the string that begins at `at`.  The text was validated before. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at + 1 : end;
}

static void add_json(struct digest_run *d, struct span body)
{
    const char *end = body.at + body.len, *from = body.at;
    for (const char *at = body.at; at < end;) {
        if (*at == '"') {
            at = string_end(at, end);
        } else if (is_space(*at)) {
            digest_add(d, from, (size_t)(at - from));
            from = ++at;
        } else {
            at++;
        }
    }
    digest_add(d, from, (size_t)(end - from));
}

/* A boundary divides only behind "--" at the beginning of a line. */
static bool divides(struct span body, const char *at)
{
    size_t before = (size_t)(at - body.at);
    return before >= 2 && memcmp(at - 2, "--", 2) == 0 &&
           (before == 2 || (before >= 4 && memcmp(at - 4, "\r\n", 2) == 0));
}

static void add_form(struct digest_run *d, struct span body, struct span boundary)
{
    const char *end = body.at + body.len, *from = body.at, *at = body.at;
    while ((at = memmem(at, (size_t)(end - at), boundary.at, boundary.len))) {
        if (!divides(body, at)) {
            at++;
            continue;
        }
        digest_add(d, from, (size_t)(at - from));
        digest_add(d, "", 1); /* where it was */
        from = at += boundary.len;
    }
    digest_add(d, from, (size_t)(end - from));
}

static void add_body(struct digest_run *d, const struct request *r)
{
    struct span body = { r->in.body ? r->in.body : "", r->in.body_len };
    if (r->form)
        add_form(d, body, r->in.boundary);
    else if (r->in.tensor_headers)
        digest_add(d, body.at, body.len);
    else
        add_json(d, body);
}

enum verdict idempotency_begin(struct request *r)
{
    struct named *n = arena_alloc(r->arena, sizeof *n);
    if (!n)
        return request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
    struct idem *i = &n->idem;
    buf_init(&n->said, r->snapshot->conf->idempotency_answer_bytes_max);
    struct digest_run d;
    digest_sha256(r->in.idempotency_key.at, r->in.idempotency_key.len, i->key);
    digest_begin(&d);
    digest_add(&d, r->in.method, strlen(r->in.method) + 1);
    digest_add(&d, r->in.path.at, r->in.path.len);
    digest_add(&d, "", 1);
    add_body(&d, r);
    digest_end(&d, i->fingerprint);
    r->idem = i;
    return NEXT;
}

/* ---- what comes of it ---------------------------------------------------------------------- */

/* FAIL with STATUS_OK: it is answered. */
static enum verdict replay(struct request *r)
{
    const struct idem_answer *a = &r->idem->answer;
    COUNT(&r->loop->counters, idempotent_replays);
    r->answer.content_type = *a->type ? a->type : NULL;
    r->answer.tensors = a->header_bytes >= 0;
    r->answer.header_len = a->header_bytes < 0 ? 0 : (uint64_t)a->header_bytes;
    r->status = STATUS_OK;
    return buf_add(&r->answer.body, a->body, a->len)
               ? FAIL
               : request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
}

enum verdict idempotency_known(struct request *r)
{
    char original[RID_TEXT_BYTES];
    rid_text(r->idem->original, original);
    if (r->idem->found == IDEM_OTHER) {
        COUNT(&r->loop->counters, idempotency_refused);
        return request_fail(r, STATUS_IDEMPOTENCY_REUSED, name,
                            "this %s was sent with another request (%s); use a new one", name,
                            original);
    }
    snprintf(r->rid_text, sizeof r->rid_text, "%s", original); /* what it is answered as */
    if (r->idem->found == IDEM_REPLAY)
        return replay(r);
    COUNT(&r->loop->counters, idempotency_refused);
    if (r->idem->found == IDEM_RUNS) {
        r->answer.retry_after_ms = 1000;
        return request_fail(r, STATUS_IDEMPOTENCY_RUNS, name,
                            "the request with this %s (%s) has not ended yet", name, original);
    }
    return request_fail(r, STATUS_IDEMPOTENCY_GONE, name,
                        "the request with this %s (%s) was carried out and charged once, and its "
                        "answer is not kept; send a new key to ask again",
                        name, original);
}

void idempotency_said(struct request *r, struct span event)
{
    struct named *n = named_of(r);
    size_t before = n->said.len;
    if (n->lost)
        return;
    n->lost = !buf_add(&n->said, "data: ", 6) || !buf_add(&n->said, event.at, event.len) ||
              !buf_add(&n->said, "\n\n", 2);
    if (n->lost)
        buf_free(&n->said);
    else
        stream_one_line(n->said.at + before + 6, event.len);
}

/* All of the answer; its last two events leave when the bill is on disk, but are known.  NULL: not kept. */
static const struct buf *answer_of(struct request *r)
{
    struct named *n = named_of(r);
    if (!r->ask.stream && !r->answer.stream)
        return &r->answer.body;
    if (!r->answer.stream || r->answer.raw)
        return NULL;
    if (r->ask.include_usage && r->work.usage_event.len)
        idempotency_said(r, r->work.usage_event);
    idempotency_said(r, SPAN("[DONE]"));
    return n->lost ? NULL : &n->said;
}

const struct idem *idempotency_keep(struct request *r)
{
    const struct answer *a = &r->answer;
    const struct buf *body = r->status == STATUS_OK && !r->gone ? answer_of(r) : NULL;
    if (!body || !body->at || body->len > r->snapshot->conf->idempotency_answer_bytes_max)
        return NULL;
    struct idem_answer *kept = &r->idem->answer;
    if (a->content_type && strlen(a->content_type) >= sizeof kept->type)
        return NULL;
    kept->body = body->at;
    kept->len = body->len;
    snprintf(kept->type, sizeof kept->type, "%s", a->content_type ? a->content_type : "");
    kept->header_bytes = a->tensors ? (int64_t)a->header_len : -1;
    return r->idem;
}

void idempotency_free(struct request *r)
{
    if (r->idem->found == IDEM_REPLAY)
        free((void *)(uintptr_t)r->idem->answer.body);
    buf_free(&named_of(r)->said);
}
