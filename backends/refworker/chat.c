/* backends/refworker/chat.c -- one answer of text: piece after piece until an end is reached. */
#include "backends/refworker/chat.h"
#include "backends/refworker/mix64.h"
#include <stdlib.h>

enum {
    TURN_PIECES = 64, /* of one answer before the others have their turn */
    NATURAL_PIECES_MIN = 24,
    NATURAL_END_ONE_IN = 3, /* how often a sentence's end is the answer's, from then on */
};

struct chat {
    struct job job;
    struct chat_order order;
    const struct ngram *model;
    struct ngram_walk walk;
    struct buf text;
    size_t sent, safe;         /* bytes of text: passed on; may be passed on */
    uint32_t produced;         /* pieces */
    const char *finish_reason; /* NULL: not at the end */
    bool stream;
};

static void chat_usage(const struct job *j, struct maas_usage *ret)
{
    const struct chat *c = (const struct chat *)j;
    ret->input_tokens = c->order.input_tokens;
    ret->input_cached_tokens = c->order.cached_tokens;
    ret->output_tokens = c->produced;
}

static void chat_free(struct job *j)
{
    struct chat *c = (struct chat *)j;
    chat_order_clear(&c->order);
    buf_free(&c->text);
    free(c);
}

static bool ends_naturally(struct chat *c, struct span piece)
{
    return !c->order.tokens_exact && c->produced >= NATURAL_PIECES_MIN && ngram_closes(piece) &&
           mix64_next(&c->walk.dice) % NATURAL_END_ONE_IN == 0;
}

/* Sets finish_reason when this piece was the last one, and how much may be passed on. */
static void look_for_end(struct chat *c, struct span piece)
{
    bool stopped;
    c->safe = stops_check(&c->order.stops, buf_span(&c->text), c->safe, &stopped);
    if (stopped || c->produced == c->order.tokens_exact || ends_naturally(c, piece))
        c->finish_reason = "stop";
    else if (c->produced == c->order.tokens_max)
        c->finish_reason = "length";
    if (c->finish_reason && !stopped)
        c->safe = c->text.len;
}

static bool produce(struct chat *c)
{
    struct span piece = ngram_next(c->model, &c->walk, &c->order.sampling);
    if (c->produced == 0 && !c->text.len && piece.len > 1 && piece.at[0] == ' ')
        piece = (struct span){ piece.at + 1, piece.len - 1 };
    if (!buf_add(&c->text, piece.at, piece.len))
        return false;
    c->produced++;
    look_for_end(c, piece);
    return true;
}

static int pass_on(struct chat *c, const struct maas_usage *so_far)
{
    if (!c->stream || c->sent == c->safe)
        return MAAS_OK;
    int rc = maas_chat_delta(c->job.call, c->text.at + c->sent, c->safe - c->sent, so_far);
    if (rc == MAAS_OK)
        c->sent = c->safe;
    return rc;
}

static enum job_next chat_turn(struct job *j)
{
    struct chat *c = (struct chat *)j;
    struct maas_usage usage = MAAS_USAGE_NONE;
    for (int left = TURN_PIECES;; left--) {
        chat_usage(j, &usage);
        int rc = pass_on(c, &usage);
        if (rc != MAAS_OK)
            return job_after_refusal(j, rc);
        if (c->finish_reason) {
            maas_chat_finish(j->call, c->text.at, c->safe, c->finish_reason, &usage);
            return JOB_DONE;
        }
        if (c->order.delay_ms && left < TURN_PIECES)
            return JOB_SLEEP;
        if (left == 0)
            return JOB_MORE;
        if (!produce(c))
            return job_out_of_memory(j);
    }
}

void chat_start(struct jobs *jobs, struct maas_call *call, const struct ngram *model,
                const struct chat_limits *limits)
{
    static const struct job_kind kind = { chat_turn, chat_usage, chat_free };
    const struct maas_request *req = maas_call_request(call);
    struct fault fault;
    struct chat *c = calloc(1, sizeof *c);
    if (!c) {
        maas_call_fail(call, 500, "the reference worker is out of memory", NULL);
        return;
    }
    c->model = model;
    c->stream = req->stream;
    buf_init(&c->text, (size_t)CHAT_TOKENS_MAX * 8 + req->body_len);
    if (!chat_order_read((struct span){ req->body, req->body_len }, limits, &c->order, &fault)) {
        maas_call_fail(call, fault.code, fault.text, NULL);
        chat_free(&c->job);
        return;
    }
    c->job.sleep_ms = c->order.delay_ms;
    if (c->order.echo && !buf_add(&c->text, c->order.prompt.at, c->order.prompt.len)) {
        maas_call_fail(call, 500, "the reference worker is out of memory", NULL);
        chat_free(&c->job);
        return;
    }
    c->safe = c->text.len;
    ngram_begin(model, c->order.prompt, c->order.seed, &c->walk);
    job_start(jobs, &c->job, &kind, call);
}
