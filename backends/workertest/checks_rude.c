/* backends/workertest/checks_rude.c -- what is not known, what is wrong, and a gateway that goes without a word. */
#include "backends/workertest/exam.h"
#include "base/cleanup.h"

static const uint8_t zeros[128];

static bool still_serves(struct exam *e)
{
    return exam_open(e, e->b, NULL) && exam_ask_whole(e, e->b, 0) && exam_ended_well(e->b, 0);
}

static bool ignores_what_may_be_ignored(struct exam *e)
{
    if (!exam_open(e, e->a, NULL))
        return false;
    for (unsigned i = 0; i < 10; i++)
        if (!link_say(&e->a->link, (struct wire_head){ .len = 100, .type = (uint16_t)(0x8000 + i) },
                      zeros, 1000))
            return false;
    return convo_ping(e->a) && exam_ask_whole(e, e->a, 0) && exam_ended_well(e->a, 0);
}

static bool ignores_unknown_flags(struct exam *e)
{
    AUTO(free_ptr) char *body = asks_body(&e->asks, 0, false, 20, 16);
    struct plea p = { .capability = e->asks.kind[0].capability,
                      .model = e->asks.kind[0].model,
                      .body = { body, strlen(body) },
                      .first = 20,
                      .more_flags = 0xff00,
                      .max_out = 16 };
    return exam_open(e, e->a, NULL) && convo_ask(e->a, 0, &p) && exam_ended_well(e->a, 0);
}

static bool ends_for_an_unknown_type(struct exam *e)
{
    return exam_open(e, e->a, NULL) &&
           link_say(&e->a->link, (struct wire_head){ .type = 99 }, NULL, 1000) &&
           convo_until_gone(e->a) && still_serves(e);
}

static bool ends_for_a_slot_not_given(struct exam *e)
{
    struct wire_head h = {
        .len = sizeof(struct wire_request), .type = WIRE_REQUEST, .slot = 1u << 30, .gen = 1
    };
    return exam_open(e, e->a, NULL) && link_say(&e->a->link, h, zeros, 1000) &&
           convo_until_gone(e->a) && still_serves(e);
}

static bool ends_for_a_length_that_lies(struct exam *e)
{
    const struct wire_head h = { .len = UINT32_MAX, .type = WIRE_BODY };
    return exam_open(e, e->a, NULL) && link_raw(&e->a->link, &h, sizeof h, 1000) &&
           convo_until_gone(e->a) && still_serves(e);
}

static bool survives_a_gateway_that_goes(struct exam *e)
{
    bool stream = asks_streams(&e->asks.kind[0]);
    if (!exam_open(e, e->a, NULL) || !exam_ask(e, e->a, 0, stream, 400, 256) ||
        (stream && !convo_until_event(e->a, 0, 1)))
        return false;
    link_close(&e->a->link);
    return still_serves(e);
}

static bool survives_half_a_request(struct exam *e)
{
    struct plea p = { .capability = e->asks.kind[0].capability,
                      .model = e->asks.kind[0].model,
                      .body = SPAN("{\"messages\": [\"and here it ends\"]}"),
                      .first = 10 };
    if (!exam_open(e, e->a, NULL) || !convo_begin(e->a, 0, &p))
        return false;
    link_close(&e->a->link);
    return still_serves(e);
}

const struct check checks_rude[] = {
    { "ignorable", "types of 0x8000 and more that are not known are ignored",
      ignores_what_may_be_ignored, 0 },
    { "flags", "flag bits that are not known are ignored", ignores_unknown_flags, 0 },
    { "unknown-type", "any other type that is not known ends the session, and no other",
      ends_for_an_unknown_type, 0 },
    { "slot-not-given", "a slot beyond those of ACCEPT ends the session", ends_for_a_slot_not_given,
      0 },
    { "length-lies", "a frame longer than frame_max ends the session", ends_for_a_length_that_lies,
      NEEDS_BYTES },
    { "gateway-goes", "a gateway that goes in the middle of a stream takes only its own session",
      survives_a_gateway_that_goes, 0 },
    { "half-a-request", "a gateway that goes in the middle of a body likewise",
      survives_half_a_request, 0 },
    { .name = NULL },
};
