/* backends/refworker/rerank.c -- a rerank answer: some documents a turn are read, then written. */
#include "backends/refworker/rerank.h"
#include "backends/refworker/embed.h"
#include "backends/refworker/json_text.h"
#include "backends/refworker/pieces.h"
#include <stdlib.h>

enum {
    TURN_BYTES = 32 * 1024, /* of answer that a turn writes, or of text that it reads */
    OUT_BYTES_MAX = 256 << 20,
    UNIT_DOCUMENTS = 100, /* of one search unit */
};

struct rank {
    uint32_t score, index;
};

struct rerank {
    struct job job;
    struct rerank_order order;
    struct rank *ranks;
    struct buf out;
    int32_t query[EMBED_DIMENSIONS_DEFAULT];
    size_t scored, written, sent; /* documents; results; bytes of out */
    int64_t tokens;
    bool opened, closed;
};

static void rerank_usage(const struct job *j, struct maas_usage *ret)
{
    ret->input_tokens = ((const struct rerank *)j)->tokens;
}

static void rerank_free(struct job *j)
{
    struct rerank *r = (struct rerank *)j;
    json_decref(r->order.tree);
    free(r->ranks);
    buf_free(&r->out);
    free(r);
}

static int best_first(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static void score_some(struct rerank *r)
{
    for (size_t read = 0; r->scored < r->order.count && read < TURN_BYTES; r->scored++) {
        struct span text = rerank_document(&r->order, r->scored);
        r->ranks[r->scored] = (struct rank){ rerank_score(r->query, text), (uint32_t)r->scored };
        r->tokens += pieces_count(text);
        read += text.len;
    }
    if (r->scored == r->order.count)
        qsort(r->ranks, r->order.count, sizeof *r->ranks, best_first);
}

static bool open_answer(struct rerank *r)
{
    const struct maas_request *req = maas_call_request(r->job.call);
    r->opened = true;
    return buf_printf(&r->out, "{\"id\":\"rerank-%lld\",\"model\":", (long long)req->request_id) &&
           json_text(&r->out, req->public_model) && buf_text(&r->out, ",\"results\":[");
}

static bool write_result(struct rerank *r, const struct rank *rank)
{
    bool ok =
        buf_printf(&r->out, "%s{\"index\":%u,\"relevance_score\":%u.%07u", r->written ? "," : "",
                   rank->index, rank->score / EMBED_ONE, rank->score % EMBED_ONE);
    if (r->order.return_documents)
        ok = ok && buf_text(&r->out, ",\"document\":{\"text\":") &&
             json_text(&r->out, rerank_document(&r->order, rank->index).at) &&
             buf_text(&r->out, "}");
    return ok && buf_text(&r->out, "}");
}

/* Both ways of counting that clients know: tokens, and units of a hundred documents. */
static bool close_answer(struct rerank *r)
{
    size_t units = (r->order.count + UNIT_DOCUMENTS - 1) / UNIT_DOCUMENTS;
    r->closed = true;
    return buf_printf(
        &r->out,
        "],\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld},\"meta\":{"
        "\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"search_units\":%zu}}}",
        (long long)r->tokens, (long long)r->tokens, units);
}

static bool write_some(struct rerank *r)
{
    bool ok = r->opened || open_answer(r);
    while (ok && r->written < r->order.top_n && r->out.len < TURN_BYTES) {
        ok = write_result(r, &r->ranks[r->written]);
        r->written++;
    }
    return ok && (r->written < r->order.top_n || close_answer(r));
}

static enum job_next rerank_turn(struct job *j)
{
    struct rerank *r = (struct rerank *)j;
    struct maas_usage usage = MAAS_USAGE_NONE;
    if (r->scored < r->order.count) {
        score_some(r);
        return JOB_MORE;
    }
    if (r->out.len == 0 && !r->closed && !write_some(r))
        return job_out_of_memory(j);
    int rc = job_send_body(j->call, &r->out, &r->sent);
    if (rc != MAAS_OK)
        return job_after_refusal(j, rc);
    if (!r->closed)
        return JOB_MORE;
    rerank_usage(j, &usage);
    maas_call_finish(j->call, &usage);
    return JOB_DONE;
}

static bool prepare(struct rerank *r, struct span body, struct fault *fault)
{
    if (!rerank_order_read(body, &r->order, fault))
        return false;
    r->ranks = malloc(r->order.count * sizeof *r->ranks);
    if (!r->ranks)
        return fault_no_memory(fault);
    embed_text(r->order.query, EMBED_DIMENSIONS_DEFAULT, r->query);
    r->tokens = pieces_count(r->order.query);
    return true;
}

void rerank_start(struct jobs *jobs, struct maas_call *call)
{
    static const struct job_kind kind = { rerank_turn, rerank_usage, rerank_free };
    const struct maas_request *req = maas_call_request(call);
    struct fault fault;
    struct rerank *r = calloc(1, sizeof *r);
    if (!r) {
        maas_call_fail(call, 500, "the reference worker is out of memory", NULL);
        return;
    }
    buf_init(&r->out, OUT_BYTES_MAX);
    if (!prepare(r, (struct span){ req->body, req->body_len }, &fault)) {
        maas_call_fail(call, fault.code, fault.text, NULL);
        rerank_free(&r->job);
        return;
    }
    job_start(jobs, &r->job, &kind, call);
}
