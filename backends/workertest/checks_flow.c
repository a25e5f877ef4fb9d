/* backends/workertest/checks_flow.c -- credit, slow reading, two sessions: nobody waits for another. */
#include "backends/workertest/exam.h"

enum { LITTLE_CREDIT = 4096 };

/* A stream that has used up its credit, or, if it was short, has ended. */
static bool starve(struct exam *e, struct convo *c, unsigned slot)
{
    struct talk *t = &c->talk[slot];
    if (!exam_ask(e, c, slot, true, 400, 256))
        return false;
    t->no_credit = true;
    while (!t->ended && t->credit > LITTLE_CREDIT / 2)
        if (!convo_step(c))
            return false;
    return true;
}

static const struct link_manners little = { .credit_bytes = LITTLE_CREDIT };

static void note_if_ended(struct exam *e, const struct talk *t)
{
    if (t->ended)
        exam_note(e, "its answer was too short to tell: %llu bytes; --body may ask for more",
                  (unsigned long long)t->bytes);
}

static bool waits_for_credit(struct exam *e)
{
    if (!exam_open(e, e->a, &little) || !starve(e, e->a, 0) || !convo_quiet(e->a, 300))
        return false;
    struct talk *t = &e->a->talk[0];
    note_if_ended(e, t);
    t->no_credit = false;
    return t->ended || (convo_give_credit(e->a, 0) && exam_ended_well(e->a, 0));
}

static bool starves_alone(struct exam *e)
{
    if (!exam_open(e, e->a, &little) || !starve(e, e->a, 0))
        return false;
    note_if_ended(e, &e->a->talk[0]);
    return exam_ask(e, e->a, 1, true, 20, 16) && exam_ended_well(e->a, 1);
}

static bool answers_ping_while_starved(struct exam *e)
{
    return exam_open(e, e->a, &little) && starve(e, e->a, 0) && convo_ping(e->a);
}

static bool has_two_sessions(struct exam *e)
{
    return exam_open(e, e->a, &little) && starve(e, e->a, 0) && exam_open(e, e->b, NULL) &&
           exam_ask(e, e->b, 0, true, 20, 16) && exam_ended_well(e->b, 0) && convo_ping(e->a);
}

/* Nothing is read for a while; meanwhile the other session is served, and then all is there. */
static bool survives_slow_reading(struct exam *e)
{
    if (!exam_open(e, e->a, NULL) || !exam_open(e, e->b, NULL))
        return false;
    unsigned n = e->hello.max_inflight < 4 ? e->hello.max_inflight : 4;
    for (unsigned slot = 0; slot < n; slot++)
        if (!exam_ask(e, e->a, slot, true, 400, 256))
            return false;
    for (int i = 0; i < 3; i++)
        if (!exam_ask_whole(e, e->b, 0) || !exam_ended_well(e->b, 0))
            return false;
    for (unsigned slot = 0; slot < n; slot++)
        if (!exam_ended_well(e->a, slot))
            return false;
    return true;
}

const struct check checks_flow[] = {
    { "credit", "no more DATA than credit_bytes until CREDIT comes; then it goes on",
      waits_for_credit, NEEDS_STREAM },
    { "credit-alone", "a stream without credit holds back only itself", starves_alone,
      NEEDS_STREAM | NEEDS_TWO },
    { "credit-ping", "PONG needs no credit", answers_ping_while_starved, NEEDS_STREAM },
    { "sessions", "the gateway has one session for each of its loops, all served at once",
      has_two_sessions, NEEDS_STREAM },
    { "slow-reading", "a gateway that reads slowly loses nothing, and holds up no other session",
      survives_slow_reading, NEEDS_STREAM },
    { .name = NULL },
};
