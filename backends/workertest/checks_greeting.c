/* backends/workertest/checks_greeting.c -- HELLO, ACCEPT, READY, PING. */
#include "backends/workertest/exam.h"

static bool greets(struct exam *e)
{
    if (!exam_open(e, e->a, NULL))
        return false;
    const struct wire_hello *h = &e->a->link.hello;
    exam_note(e, "it is '%.48s', speaks %u to %u, takes %u requests at once", h->name,
              h->version_min, h->version_max, h->max_inflight);
    return true;
}

static bool speaks_each_version(struct exam *e)
{
    unsigned first =
        e->hello.version_min > WIRE_VERSION_MIN ? e->hello.version_min : WIRE_VERSION_MIN;
    unsigned last = e->hello.version_max < WIRE_VERSION ? e->hello.version_max : WIRE_VERSION;
    for (unsigned v = first; v <= last; v++) {
        if (!exam_open(e, e->a, &(struct link_manners){ .version = (uint16_t)v }) ||
            !exam_ask_whole(e, e->a, 0) || !exam_ended_well(e->a, 0))
            return false;
        if (v < last)
            convo_close(e->a);
    }
    return true;
}

/* What it makes of an ACCEPT that is none is its own affair, as long as it is not READY. */
static bool refuses(struct exam *e, const struct link_manners *m)
{
    if (!link_dial(&e->a->link, e->order->address, e->order->patience_ms))
        return false;
    if (link_accept(&e->a->link, m, 500))
        return exam_fail(e, "it answered READY");
    e->a->link.why[0] = '\0';
    return true;
}

static bool refuses_another_magic(struct exam *e)
{
    memset(e->a, 0, sizeof *e->a);
    return refuses(e, &(struct link_manners){ .magic = 0x12345678 });
}

static bool refuses_another_version(struct exam *e)
{
    memset(e->a, 0, sizeof *e->a);
    return refuses(e, &(struct link_manners){ .version = (uint16_t)(e->hello.version_max + 1) });
}

static bool answers_ping(struct exam *e)
{
    return exam_open(e, e->a, NULL) && convo_ping(e->a) && convo_ping(e->a);
}

static bool fills_in_its_page(struct exam *e)
{
    if (!exam_open(e, e->a, NULL))
        return false;
    const struct ring_side *w = e->a->link.memory.w;
    if (w->magic != WIRE_MAGIC || w->version != WIRE_RING_VERSION ||
        w->session != e->a->link.accept.session)
        return exam_fail(e, "magic 0x%08x, version %u, session %llx (ACCEPT said %llx)", w->magic,
                         w->version, (unsigned long long)w->session,
                         (unsigned long long)e->a->link.accept.session);
    return true;
}

/* Armed before PING is sent, so that PONG cannot be there already. */
static bool rings_the_bell(struct exam *e)
{
    struct link *l = &e->a->link;
    if (!exam_open(e, e->a, NULL))
        return false;
    for (uint32_t i = 0; i < 20; i++) {
        if (!link_arm(l))
            return exam_fail(e, "something came that nobody asked for");
        if (!link_say(l, (struct wire_head){ .type = WIRE_PING, .gen = i }, NULL, 1000))
            return false;
        if (!link_woken(l, e->order->patience_ms))
            return exam_fail(e, "PING was sent and no bell came for its PONG");
        if (!convo_step(e->a))
            return false;
    }
    return true;
}

const struct check checks_greeting[] = {
    { "hello", "the worker speaks first: HELLO, 64 bytes; ACCEPT is answered with READY", greets,
      0 },
    { "versions", "each version that HELLO offers is spoken", speaks_each_version, 0 },
    { "accept-magic", "an ACCEPT with another magic ends the session", refuses_another_magic, 0 },
    { "accept-version", "an ACCEPT with a version that was not offered ends the session",
      refuses_another_version, 0 },
    { "page", "the worker fills in magic, version and session of its memory", fills_in_its_page,
      NEEDS_SHM },
    { "bell", "a reader that has armed and sleeps is woken by one byte on the socket",
      rings_the_bell, NEEDS_SHM },
    { "ping", "PING is answered with PONG of the same generation", answers_ping, 0 },
    { .name = NULL },
};
