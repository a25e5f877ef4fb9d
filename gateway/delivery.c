/* gateway/delivery.c -- see delivery.h. */
#include "gateway/delivery.h"
#include "backends/openai_event.h"
#include <string.h>

enum {
    BEHIND_BYTES = 4096, /* less than this is taken in one piece */
    MARKS_BYTES_MAX = 64 << 20,
};

struct mark {     /* small: there is one for each event that waits */
    uint64_t end; /* of the event, in bytes of the stream */
    uint32_t events, text, reasoning, counted, said;
};

static struct mark mark_of(uint64_t end, const struct progress *p)
{
    return (
        struct mark){ end,        (uint32_t)p->events, (uint32_t)p->text, (uint32_t)p->reasoning,
                      p->counted, (uint32_t)p->said };
}

void delivery_init(struct delivery *d)
{
    *d = (struct delivery){ .taken_bytes = 0 };
    buf_init(&d->marks, MARKS_BYTES_MAX);
}

void delivery_free(struct delivery *d)
{
    buf_free(&d->marks);
}

static void set_count(struct progress *p, const struct usage *u)
{
    p->counted = usage_has(u, METER_OUTPUT_TEXT) || usage_has(u, METER_OUTPUT_REASONING);
    p->text = u->qty[METER_OUTPUT_TEXT];
    p->reasoning = u->qty[METER_OUTPUT_REASONING];
}

void delivery_count(struct delivery *d, const struct usage *total)
{
    struct progress *all[] = { &d->added, &d->taken, &d->sent };
    uint64_t events = d->added.events;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->events == events)
            set_count(all[i], total);
}

static bool add(struct progress *p, struct span event, const struct usage *so_far)
{
    uint64_t before = p->text + p->reasoning;
    set_count(p, so_far);
    bool carried = p->counted ? p->text + p->reasoning > before : !openai_event_silent(event);
    p->events += carried;
    return carried;
}

static void mark(struct delivery *d, size_t waiting)
{
    if (waiting < BEHIND_BYTES)
        return;
    struct mark m = mark_of(d->taken_bytes + waiting, &d->added);
    if (!buf_add(&d->marks, &m, sizeof m))
        return; /* without memory the client pays for less */
}

bool delivery_add(struct delivery *d, struct span event, const struct usage *so_far, size_t waiting)
{
    bool carried = add(&d->added, event, so_far);
    mark(d, waiting);
    return carried;
}

void delivery_add_bytes(struct delivery *d, size_t waiting)
{
    d->added.events++;
    mark(d, waiting);
}

void delivery_sent(struct delivery *d)
{
    d->sent = d->taken;
    d->sent_bytes = d->taken_bytes;
}

/* The last event that lies before the place that was taken. */
static void take_marks(struct delivery *d)
{
    struct mark m;
    while (d->marks_used < d->marks.len) {
        memcpy(&m, d->marks.at + d->marks_used, sizeof m);
        if (m.end > d->taken_bytes)
            return;
        d->taken = (struct progress){ m.events, m.text, m.reasoning, m.counted, m.said };
        d->marks_used += sizeof m;
    }
}

void delivery_take(struct delivery *d, size_t bytes, size_t waiting)
{
    d->taken_bytes += bytes;
    if (waiting > 0) {
        take_marks(d);
        return;
    }
    d->taken = d->added;
    d->marks_used = 0;
    buf_clear(&d->marks);
}
