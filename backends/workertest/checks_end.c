/* backends/workertest/checks_end.c -- CANCEL at several points, and frames that come too late. */
#include "backends/workertest/exam.h"
#include "base/cleanup.h"

/* FINAL follows; how soon is told, because what comes later than 250 ms does not reach the bill. */
static bool ends_after_cancel(struct exam *e, unsigned slot)
{
    const struct talk *t = &e->a->talk[slot];
    if (!convo_until_end(e->a, slot))
        return false;
    int64_t ms = t->ended_ms - t->cancelled_ms;
    if (ms > 250)
        exam_note(
            e, "after %lld ms: the count of what comes later than 250 ms does not reach the bill",
            (long long)ms);
    return convo_quiet(e->a, 100);
}

static bool cancels_at_once(struct exam *e)
{
    bool stream = asks_streams(&e->asks.kind[0]);
    return exam_open(e, e->a, NULL) && exam_ask(e, e->a, 0, stream, 400, 256) &&
           convo_cancel(e->a, 0) && ends_after_cancel(e, 0);
}

static bool cancels_before_the_body_is_whole(struct exam *e)
{
    AUTO(free_ptr) char *body = asks_body(&e->asks, 0, false, 400, 256);
    struct plea p = { .capability = e->asks.kind[0].capability,
                      .model = e->asks.kind[0].model,
                      .body = { body, strlen(body) },
                      .first = 10 };
    return exam_open(e, e->a, NULL) && convo_begin(e->a, 0, &p) && convo_cancel(e->a, 0) &&
           ends_after_cancel(e, 0) && exam_ask_whole(e, e->a, 0) && exam_ended_well(e->a, 0);
}

static bool cancels_in_the_middle(struct exam *e)
{
    return exam_open(e, e->a, NULL) && exam_ask(e, e->a, 0, true, 400, 256) &&
           convo_until_event(e->a, 0, 1) && convo_cancel(e->a, 0) && ends_after_cancel(e, 0);
}

static bool cancels_without_credit(struct exam *e)
{
    if (!exam_open(e, e->a, &(struct link_manners){ .credit_bytes = 4096 }) ||
        !exam_ask(e, e->a, 0, true, 400, 256))
        return false;
    e->a->talk[0].no_credit = true;
    while (!e->a->talk[0].ended && e->a->talk[0].credit > 2048)
        if (!convo_step(e->a))
            return false;
    return convo_cancel(e->a, 0) && ends_after_cancel(e, 0);
}

static bool cancels_one_of_two(struct exam *e)
{
    return exam_open(e, e->a, NULL) && exam_ask(e, e->a, 0, true, 400, 256) &&
           exam_ask(e, e->a, 1, true, 20, 16) && convo_until_event(e->a, 0, 1) &&
           convo_cancel(e->a, 0) && ends_after_cancel(e, 0) && exam_ended_well(e->a, 1);
}

/* They crossed the FINAL, or are of a use of the slot that is over. */
static bool ignores_what_is_late(struct exam *e)
{
    struct wire_credit credit = { .bytes = 16 };
    if (!exam_open(e, e->a, NULL) || !exam_ask_whole(e, e->a, 0) || !exam_ended_well(e->a, 0))
        return false;
    uint32_t old = e->a->gen[0];
    for (int i = 0; i < 2; i++) { /* while the slot is free, then while it is used again */
        struct wire_head cancel = { .type = WIRE_CANCEL, .gen = old },
                         body = { .len = 3, .type = WIRE_BODY, .gen = old },
                         more = { .len = sizeof credit, .type = WIRE_CREDIT, .gen = old };
        if (!link_say(&e->a->link, cancel, NULL, 1000) ||
            !link_say(&e->a->link, body, "abc", 1000) ||
            !link_say(&e->a->link, more, &credit, 1000))
            return false;
        if (i == 0 && !exam_ask(e, e->a, 0, asks_streams(&e->asks.kind[0]), 20, 16))
            return false;
    }
    return exam_ended_well(e->a, 0) && convo_ping(e->a);
}

const struct check checks_end[] = {
    { "cancel-at-once", "CANCEL is answered with FINAL", cancels_at_once, 0 },
    { "cancel-body", "CANCEL may come when the body is not complete",
      cancels_before_the_body_is_whole, 0 },
    { "cancel-middle", "after CANCEL: FINAL soon, and nothing after it", cancels_in_the_middle,
      NEEDS_STREAM },
    { "cancel-credit", "FINAL needs no credit", cancels_without_credit, NEEDS_STREAM },
    { "cancel-one", "CANCEL is about one slot; the others go on", cancels_one_of_two,
      NEEDS_STREAM | NEEDS_TWO },
    { "late", "CANCEL, CREDIT and BODY of a generation that has ended are ignored",
      ignores_what_is_late, 0 },
    { .name = NULL },
};
