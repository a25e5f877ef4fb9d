/* backends/workertest/checks_request.c -- requests and answers: whole, streamed, in pieces, several at once. */
#include "backends/workertest/exam.h"
#include "base/cleanup.h"
#include "base/usage.h"
#include <jansson.h>

static bool is_whole_answer(struct exam *e, unsigned slot, enum capability capability)
{
    const struct talk *t = &e->a->talk[slot];
    AUTO(json_decref_ptr)
    json_t *json = json_loadb(t->text.at ? t->text.at : "", t->text.len, 0, NULL);
    if (!json_is_object(json))
        return exam_fail(e, "the answer is not one JSON object: '%.80s'",
                         t->text.at ? t->text.at : "");
    bool tokens = capability & (CAP_CHAT | CAP_COMPLETIONS | CAP_EMBEDDINGS);
    if (tokens && !(t->reported && t->final.present >> METER_INPUT_UNCACHED & 1))
        return exam_fail(e, "FINAL does not report the input tokens, so nothing can be billed");
    if ((capability & (CAP_CHAT | CAP_COMPLETIONS)) && !(t->final.present >> METER_OUTPUT_TEXT & 1))
        return exam_fail(e, "FINAL does not report the output tokens, so nothing can be billed");
    return true;
}

/* Every capability that was named, one after the other. */
static bool answers_whole(struct exam *e)
{
    if (!exam_open(e, e->a, NULL))
        return false;
    for (unsigned k = 0; k < e->asks.count; k++) {
        const struct ask_kind *kind = &e->asks.kind[k];
        AUTO(free_ptr) char *body = asks_body(&e->asks, k, false, 20, 16);
        struct plea p = { .capability = kind->capability,
                          .model = kind->model,
                          .body = { body, strlen(body) },
                          .max_out = 16 };
        if (!convo_ask(e->a, 0, &p) || !exam_ended_well(e->a, 0) ||
            !is_whole_answer(e, 0, kind->capability))
            return false;
    }
    return true;
}

static bool answers_in_a_stream(struct exam *e)
{
    if (!exam_open(e, e->a, NULL) || !exam_ask(e, e->a, 0, true, 20, 16) ||
        !exam_ended_well(e->a, 0))
        return false;
    const struct talk *t = &e->a->talk[0];
    if (t->events < 2)
        return exam_fail(e, "the stream has %u events", t->events);
    if (t->usage_events != 1 || !t->usage_last)
        return exam_fail(e, "%u events have USAGE_EVENT; one must have it, the last",
                         t->usage_events);
    if (!t->reported)
        return exam_fail(e, "FINAL does not report the usage, so nothing can be billed");
    if (!convo_quiet(e->a, 50)) /* FINAL was the end */
        return false;
    if (t->count.output_tokens == 0)
        return exam_fail(
            e, "no DATA counts output tokens: a client that leaves in the middle pays nothing");
    exam_note(e, "%u events, %u output tokens", t->events, t->count.output_tokens);
    return true;
}

static bool keeps_to_max_out(struct exam *e)
{
    if (!exam_open(e, e->a, NULL) || !exam_ask(e, e->a, 0, true, 200, 5) ||
        !exam_ended_well(e->a, 0))
        return false;
    uint64_t said = e->a->talk[0].final.qty[METER_OUTPUT_TEXT] +
                    e->a->talk[0].final.qty[METER_OUTPUT_REASONING];
    return said <= 5 || exam_fail(e, "max_out was 5 and FINAL reports %llu output tokens",
                                  (unsigned long long)said);
}

/* The same request in one frame and in crumbs. */
static bool takes_a_body_in_crumbs(struct exam *e)
{
    AUTO(free_ptr) char *body = asks_body(&e->asks, 0, false, 100, 16);
    struct plea p = { .capability = e->asks.kind[0].capability,
                      .model = e->asks.kind[0].model,
                      .body = { body, strlen(body) },
                      .first = 1,
                      .piece = 7,
                      .max_out = 16 };
    return exam_open(e, e->a, NULL) && convo_ask(e->a, 0, &p) && exam_ended_well(e->a, 0) &&
           is_whole_answer(e, 0, p.capability);
}

static bool say_rest(struct exam *e, unsigned slot, struct span rest, bool last)
{
    struct wire_head h = { .len = (uint32_t)rest.len,
                           .type = WIRE_BODY,
                           .flags = last ? WIRE_LAST : 0,
                           .slot = slot,
                           .gen = e->a->gen[slot] };
    return link_say(&e->a->link, h, rest.at, e->order->patience_ms);
}

/* REQUEST of both, then a piece of one, a piece of the other. */
static bool takes_bodies_by_turns(struct exam *e)
{
    AUTO(free_ptr) char *body = asks_body(&e->asks, 0, false, 100, 16);
    size_t len = strlen(body), half = len / 2;
    struct plea p = { .capability = e->asks.kind[0].capability,
                      .model = e->asks.kind[0].model,
                      .body = { body, len },
                      .first = 1,
                      .max_out = 16 };
    if (!exam_open(e, e->a, NULL))
        return false;
    for (unsigned slot = 0; slot < 2; slot++)
        if (!convo_begin(e->a, slot, &p))
            return false;
    return say_rest(e, 0, (struct span){ body + 1, half - 1 }, false) &&
           say_rest(e, 1, (struct span){ body + 1, half - 1 }, false) && convo_ping(e->a) &&
           say_rest(e, 1, (struct span){ body + half, len - half }, true) &&
           say_rest(e, 0, (struct span){ body + half, len - half }, true) &&
           exam_ended_well(e->a, 0) && exam_ended_well(e->a, 1);
}

static bool takes_a_long_body(struct exam *e)
{
    AUTO(free_ptr) char *body = asks_body(&e->asks, 0, false, 100000, 16);
    struct plea p = { .capability = e->asks.kind[0].capability,
                      .model = e->asks.kind[0].model,
                      .body = { body, strlen(body) },
                      .max_out = 16 };
    if (!exam_open(e, e->a, NULL) || !convo_ask(e->a, 0, &p) || !convo_until_end(e->a, 0))
        return false;
    uint32_t code = e->a->talk[0].final.code;
    exam_note(e, "%zu bytes; FINAL has code %u", p.body.len, code);
    return code == 0 || code == 400 || code == 413 || exam_fail(e, "FINAL has code %u", code);
}

static bool ends_what_is_not_json(struct exam *e)
{
    struct plea p = { .capability = e->asks.kind[0].capability,
                      .model = e->asks.kind[0].model,
                      .body = SPAN("{\"messages\": [") };
    if (!exam_open(e, e->a, NULL) || !convo_ask(e->a, 0, &p) || !convo_until_end(e->a, 0))
        return false;
    exam_note(e, "FINAL has code %u", e->a->talk[0].final.code);
    return true;
}

static bool takes_several_at_once(struct exam *e)
{
    unsigned n = e->hello.max_inflight < 8 ? e->hello.max_inflight : 8;
    if (!exam_open(e, e->a, NULL))
        return false;
    for (unsigned slot = 0; slot < n; slot++)
        if (!exam_ask(e, e->a, slot, asks_streams(&e->asks.kind[0]), 20, 16))
            return false;
    for (unsigned slot = 0; slot < n; slot++)
        if (!exam_ended_well(e->a, slot))
            return false;
    exam_note(e, "%u of them", n);
    return true;
}

static bool takes_a_slot_again(struct exam *e)
{
    if (!exam_open(e, e->a, NULL))
        return false;
    for (int i = 0; i < 5; i++)
        if (!exam_ask_whole(e, e->a, 0) || !exam_ended_well(e->a, 0))
            return false;
    return true;
}

static bool keeps_frames_short(struct exam *e)
{
    return exam_open(e, e->a, &(struct link_manners){ .frame_max = 4096 }) &&
           exam_ask(e, e->a, 0, false, 2000, 256) && exam_ended_well(e->a, 0);
}

const struct check checks_request[] = {
    { "whole", "a request is answered by DATA, one JSON object in all, and FINAL with the usage",
      answers_whole, 0 },
    { "stream", "a stream is one JSON object a DATA, counted on, the last with USAGE_EVENT",
      answers_in_a_stream, NEEDS_STREAM },
    { "max-out", "no more output tokens than max_out", keeps_to_max_out, NEEDS_STREAM },
    { "body-crumbs", "BODY frames bring the rest, however small", takes_a_body_in_crumbs, 0 },
    { "body-turns", "between the parts of a body lie frames of other slots, and PING",
      takes_bodies_by_turns, NEEDS_TWO },
    { "body-long", "a body is as long as body_len says; too long is code 413", takes_a_long_body,
      0 },
    { "body-not-json", "a request that is not valid is ended, too", ends_what_is_not_json, 0 },
    { "several", "as many requests at once as max_inflight says", takes_several_at_once,
      NEEDS_TWO },
    { "slot-again", "a slot is used again with the next generation", takes_a_slot_again, 0 },
    { "frame-max", "no frame is longer than frame_max of ACCEPT", keeps_frames_short, 0 },
    { .name = NULL },
};
