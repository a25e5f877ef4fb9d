/* gateway/uptake.c -- see uptake.h. */
#include "gateway/uptake.h"
#include "gateway/answer_room.h"
#include "gateway/choices.h"
#include "gateway/hold_more.h"
#include "gateway/kind.h"
#include "gateway/recount.h"
#include "gateway/request.h"
#include "gateway/stream.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* What a backend answers is one JSON object, each event of a stream is.  Only its two ends are
 * looked at: enough that no plain text, no "[DONE]" and no half of an answer passes for one. */
static bool is_object(const char *at, size_t len)
{
    const char *end = at + len;
    while (at < end && is_blank(*at))
        at++;
    while (end > at && is_blank(end[-1]))
        end--;
    return end - at >= 2 && *at == '{' && end[-1] == '}';
}

static void keep_usage_event(struct request *r, const struct backend_data *d)
{
    char *copy = arena_memdup(r->arena, d->bytes, d->len);
    if (copy)
        r->work.usage_event = (struct span){ copy, d->len };
}

static enum status take_event(struct request *r, const struct backend_data *d)
{
    if (!is_object(d->bytes, d->len))
        return STATUS_BACKEND_GARBAGE;
    if (d->usage_event) {
        keep_usage_event(r, d);
        if (!r->gone)
            delivery_count(&r->work.delivery, &r->work.so_far);
        return STATUS_OK;
    }
    enum status s = r->work.more && !r->gone ? hold_more_look(r) : STATUS_OK;
    if (s)
        return s;
    if (!stream_event(r, d->bytes, d->len))
        return STATUS_NO_MEMORY;
    if (!r->gone) {
        r->work.delivered = true;
        struct span event = { d->bytes, d->len };
        if (r->work.recount) {
            transcript_add(&r->work.recount->said, event);
            r->work.delivery.added.said = r->work.recount->said.log.len;
        }
        choices_event(r, event,
                      delivery_add(&r->work.delivery, event, &r->work.so_far,
                                   r->answer.body.len - r->answer.taken));
    }
    return STATUS_OK;
}

/* The answer is no JSON object, and this is what it is. */
static bool note_format(struct request *r, const struct backend_format *f)
{
    struct answer *a = &r->answer;
    a->content_type =
        arena_strdup(r->arena, f->content_type ? f->content_type : "application/octet-stream");
    a->tensors = f->tensors;
    a->header_len = f->header_len;
    return a->content_type != NULL;
}

static enum status take_bytes(struct request *r, const struct backend_data *d)
{
    if (!stream_bytes(r, d->bytes, d->len))
        return STATUS_NO_MEMORY;
    if (!r->gone) {
        r->work.delivered = true;
        delivery_add_bytes(&r->work.delivery, r->answer.body.len - r->answer.taken);
    }
    return STATUS_OK;
}

static enum status take_piece(struct request *r, const struct backend_data *d)
{
    struct buf *b = &r->answer.body;
    if (d->format && !r->answer.content_type && !note_format(r, d->format))
        return STATUS_NO_MEMORY;
    if (d->format && (kind_of(r->target.row->capability)->traits & KIND_FLOWS))
        return take_bytes(r, d);
    if (!buf_add(b, d->bytes, d->len))
        return d->len > b->max - b->len ? STATUS_BACKEND_GARBAGE : STATUS_NO_MEMORY;
    return answer_room_count(r) ? STATUS_OK : STATUS_OVERLOADED;
}

/* A backend that cannot stream may answer whole: then it says what that is. */
enum status uptake_data(struct request *r, const struct backend_data *d)
{
    return r->ask.stream && !d->format ? take_event(r, d) : take_piece(r, d);
}

enum status uptake_end(const struct request *r)
{
    const struct answer *a = &r->answer;
    bool right = a->tensors                         ? a->header_len <= a->body.len
                 : a->content_type || r->ask.stream ? true
                                                    : is_object(a->body.at, a->body.len);
    return right ? STATUS_OK : STATUS_BACKEND_GARBAGE;
}
