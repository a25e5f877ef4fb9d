/* backends/refworker/embeddings.c -- an embeddings answer, some vectors a turn. */
#include "backends/refworker/embeddings.h"
#include "backends/refworker/pieces.h"
#include "backends/refworker/json_text.h"
#include <stdlib.h>

enum {
    TURN_BYTES = 32 * 1024, /* of answer that a turn writes, or of text that it reads */
    OUT_BYTES_MAX = 128 * 1024,
};

struct embeddings {
    struct job job;
    struct embed_order order;
    struct buf out;
    size_t sent, written; /* bytes of out; texts */
    int64_t tokens;
    bool opened, closed;
};

static void embeddings_usage(const struct job *j, struct maas_usage *ret)
{
    ret->input_tokens = ((const struct embeddings *)j)->tokens;
}

static void embeddings_free(struct job *j)
{
    struct embeddings *e = (struct embeddings *)j;
    json_decref(e->order.tree);
    buf_free(&e->out);
    free(e);
}

static bool open_answer(struct embeddings *e)
{
    e->opened = true;
    return buf_text(&e->out, "{\"object\":\"list\",\"model\":") &&
           json_text(&e->out, maas_call_request(e->job.call)->public_model) &&
           buf_text(&e->out, ",\"data\":[");
}

static bool close_answer(struct embeddings *e)
{
    e->closed = true;
    return buf_printf(&e->out, "],\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}}",
                      (long long)e->tokens, (long long)e->tokens);
}

/* As many vectors as fit a turn; the last turn also closes the answer. */
static bool write_some(struct embeddings *e)
{
    size_t read = 0;
    if (!e->opened && !open_answer(e))
        return false;
    while (e->written < e->order.count && e->out.len < TURN_BYTES && read < TURN_BYTES) {
        struct span text = embed_order_text(&e->order, e->written);
        if (!embed_write(&e->order, e->written, &e->out))
            return false;
        e->tokens += pieces_count(text);
        e->written++;
        read += text.len;
    }
    return e->written < e->order.count || close_answer(e);
}

static enum job_next embeddings_turn(struct job *j)
{
    struct embeddings *e = (struct embeddings *)j;
    struct maas_usage usage = MAAS_USAGE_NONE;
    if (e->out.len == 0 && !e->closed && !write_some(e))
        return job_out_of_memory(j);
    int rc = job_send_body(j->call, &e->out, &e->sent);
    if (rc != MAAS_OK)
        return job_after_refusal(j, rc);
    if (!e->closed)
        return JOB_MORE;
    embeddings_usage(j, &usage);
    maas_call_finish(j->call, &usage);
    return JOB_DONE;
}

void embeddings_start(struct jobs *jobs, struct maas_call *call)
{
    static const struct job_kind kind = { embeddings_turn, embeddings_usage, embeddings_free };
    const struct maas_request *req = maas_call_request(call);
    struct fault fault;
    struct embeddings *e = calloc(1, sizeof *e);
    if (!e) {
        maas_call_fail(call, 500, "the reference worker is out of memory", NULL);
        return;
    }
    buf_init(&e->out, OUT_BYTES_MAX);
    if (!embed_order_read((struct span){ req->body, req->body_len }, &e->order, &fault)) {
        maas_call_fail(call, fault.code, fault.text, NULL);
        embeddings_free(&e->job);
        return;
    }
    job_start(jobs, &e->job, &kind, call);
}
