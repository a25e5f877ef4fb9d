/* gateway/intake.c -- see intake.h.  All bodies of the process share one allowance
 * of bytes, so that many large uploads are refused instead of filling memory. */
#include "gateway/intake.h"
#include "gateway/hops.h"
#include "gateway/request.h"
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

enum { BODY_ROOM_FIRST = 4096 };

static _Atomic uint64_t bodies_bytes; /* room of all bodies in the process */

static bool same_name(const char *name, size_t len, const char *lower)
{
    return len == strlen(lower) && strncasecmp(name, lower, len) == 0;
}

static bool keep(struct request *r, const char *value, size_t len, struct span *ret)
{
    char *copy = arena_memdup(r->arena, value, len);
    *ret = (struct span){ copy, copy ? len : 0 };
    return copy != NULL;
}

/* UINT64_MAX: it is none. */
static uint64_t parse_number(struct span v)
{
    uint64_t n = 0;
    bool plain = v.len > 0 && v.len < 19 && (v.len == 1 || v.at[0] != '0');
    for (size_t i = 0; plain && i < v.len; i++) {
        plain = v.at[i] >= '0' && v.at[i] <= '9';
        n = n * 10 + (uint64_t)(v.at[i] - '0');
    }
    return plain ? n : UINT64_MAX;
}

/* A time that is none, or a second one, is a mistake that nobody would notice. */
static uint64_t parse_timeout(uint64_t before, struct span v)
{
    uint64_t ms = parse_number(v);
    return before || ms == 0 ? UINT64_MAX : ms;
}

/* Of a body that is JSON the type is not looked at: many clients send a wrong one. */
static bool keep_multipart(struct request *r, struct span type)
{
    static const char prefix[] = "multipart/";
    return type.len < sizeof prefix - 1 || strncasecmp(type.at, prefix, sizeof prefix - 1) != 0 ||
           keep(r, type.at, type.len, &r->in.multipart);
}

enum status intake_header(struct request *r, const char *name, size_t name_len, const char *value,
                          size_t value_len)
{
    struct intake *in = &r->in;
    bool kept = true;
    guard_header(&in->guard, (struct span){ name, name_len }, (struct span){ value, value_len },
                 (unsigned)r->snapshot->conf->header_fields_max);
    if (same_name(name, name_len, "authorization"))
        kept = keep(r, value, value_len, &in->authorization);
    else if (same_name(name, name_len, "x-api-key") || same_name(name, name_len, "api-key"))
        kept = keep(r, value, value_len, &in->api_key);
    else if (same_name(name, name_len, "x-request-timeout-ms"))
        in->timeout_ms = parse_timeout(in->timeout_ms, (struct span){ value, value_len });
    else if (same_name(name, name_len, "cdn-loop"))
        in->hops += hops_count((struct span){ value, value_len });
    else if (same_name(name, name_len, "x-stainless-retry-count"))
        in->sdk_retry = value_len == 1 && value[0] != '0';
    else if (same_name(name, name_len, "idempotency-key") && !in->idempotency_headers++)
        kept = keep(r, value, value_len, &in->idempotency_key);
    else if (same_name(name, name_len, "content-type"))
        kept = keep_multipart(r, (struct span){ value, value_len });
    else if (same_name(name, name_len, "inference-header-content-length") && !in->tensor_headers++)
        in->tensor_header_len = parse_number((struct span){ value, value_len });
    return kept ? STATUS_OK : STATUS_HEADERS_TOO_LARGE;
}

static enum status make_room(struct request *r, size_t need)
{
    struct intake *in = &r->in;
    const struct conf *conf = r->snapshot->conf;
    size_t room = in->body_room ? in->body_room : BODY_ROOM_FIRST;
    if (need > in->body_max)
        return STATUS_BODY_TOO_LARGE;
    if (in->guard.has_length && in->guard.length >= need)
        room = (size_t)in->guard.length; /* checked against body_max before the first byte */
    while (room < need)
        room *= 2;
    uint64_t more = room - in->body_room;
    if (atomic_fetch_add_explicit(&bodies_bytes, more, memory_order_relaxed) + more >
        conf->bodies_bytes_max) {
        atomic_fetch_sub_explicit(&bodies_bytes, more, memory_order_relaxed);
        return STATUS_OVERLOADED;
    }
    char *bigger = realloc(in->body, room + 1);
    if (!bigger) {
        atomic_fetch_sub_explicit(&bodies_bytes, more, memory_order_relaxed);
        return STATUS_NO_MEMORY;
    }
    in->body = bigger;
    in->body_room = room;
    return STATUS_OK;
}

enum status intake_reserve(struct request *r)
{
    const struct guard *g = &r->in.guard;
    if (!g->has_length || g->length <= r->in.body_room)
        return STATUS_OK;
    return make_room(r, (size_t)g->length);
}

enum status intake_body(struct request *r, const char *bytes, size_t len)
{
    struct intake *in = &r->in;
    if (len > in->body_room - in->body_len) {
        enum status s = make_room(r, in->body_len + len);
        if (s != STATUS_OK)
            return s;
    }
    memcpy(in->body + in->body_len, bytes, len);
    in->body_len += len;
    in->body[in->body_len] = '\0';
    return STATUS_OK;
}

bool intake_can_discard(const struct request *r)
{
    const struct guard *g = &r->in.guard;
    if (g->expects > 0 && r->in.body_len == 0)
        return false; /* a client that asked first has not sent it, and need not */
    return !g->bad && !g->chunked && (!g->has_length || g->length <= DISCARD_BYTES_MAX);
}

void intake_release(struct request *r)
{
    struct intake *in = &r->in;
    if (in->body)
        atomic_fetch_sub_explicit(&bodies_bytes, in->body_room, memory_order_relaxed);
    free(in->body);
    in->body = NULL;
    in->body_len = in->body_room = 0;
}
