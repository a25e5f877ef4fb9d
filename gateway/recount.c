/* gateway/recount.c -- see recount.h. */
#include "gateway/recount.h"
#include "base/bpe.h"
#include "base/jstring.h"
#include "gateway/loop.h"
#include "gateway/prompt_texts.h"
#include "gateway/request.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* A text costs so much even when it is empty, so that many small ones do not make a long slice. */
enum { TEXT_BYTES = 64 };

struct recount_job { /* one thread at a time: the loop's, or one of libuv's */
    uv_work_t work;
    struct request *r;
    enum recount_part part;
    struct bpe_run *run; /* NULL before the first slice */
    bool in_text, done, failed;
    size_t text_len;
    char *text; /* of the text that is counted, when it had to be made; NULL: it is borrowed */
    struct prompt_texts prompts;
    struct recounted count;
    uint32_t choice;     /* of the output: which text comes next */
    enum said_kind kind; /* SAID_KINDS: there is no more */
    uint64_t before;     /* tokens before this kind */
};

enum status recount_begin(struct request *r)
{
    const struct catalog_tokenizer *t = r->model->tokenizer;
    if (!t || r->work.recount)
        return STATUS_OK;
    struct recount *c = calloc(1, sizeof *c);
    if (!c)
        return STATUS_NO_MEMORY;
    transcript_init(&c->said, r->snapshot->conf->answer_bytes_max);
    int len = snprintf(c->tokenizer, sizeof c->tokenizer, "%.63s@", t->name);
    for (unsigned i = 0; i < TOKENIZER_DIGEST_BYTES; i++)
        snprintf(c->tokenizer + len + 2 * i, 3, "%02x", t->digest[i]);
    r->work.recount = c;
    return STATUS_OK;
}

void recount_free(struct recount *c)
{
    if (!c)
        return;
    assert(!c->running);
    transcript_free(&c->said);
    free(c);
}

uint64_t recount_tolerance(const struct request *r, uint64_t counted)
{
    const struct catalog_tokenizer *t = r->model->tokenizer;
    uint64_t part = counted * t->tolerance_basis_points / 10000;
    return part > t->tolerance_tokens ? part : t->tolerance_tokens;
}

/* ---- on a thread of libuv's ---- */

/* False: no memory. */
static bool begin_prompt(struct recount_job *j, struct span inside)
{
    struct span text = inside;
    size_t len;
    if (inside.len && memchr(inside.at, '\\', inside.len)) {
        j->text = malloc(inside.len);
        if (!j->text || !jstring_unescape(inside, j->text, inside.len, &len))
            return false;
        text = (struct span){ j->text, len };
    }
    bpe_run_text(j->run, text);
    j->text_len = text.len;
    return true;
}

static void next_prompt(struct recount_job *j)
{
    struct span inside;
    if (prompt_texts_next(&j->prompts, &inside)) {
        j->in_text = true;
        j->failed = !begin_prompt(j, inside);
        return;
    }
    j->done = true;
    j->count.input = bpe_run_tokens(j->run) + j->prompts.extra;
    j->count.input_whole = !j->prompts.incomplete;
}

static bool is_next(const struct recount_job *j, const struct said *s)
{
    return s->kind == j->kind && s->choice == j->choice;
}

/* All that one choice said, put together: a word may lie in several events. */
static char *gather(const struct recount_job *j, size_t end, size_t *ret_len)
{
    const struct transcript *t = &j->r->work.recount->said;
    struct said s;
    size_t len = 0, room = 0;
    for (size_t at = 0; transcript_next(t, &at, end, &s);)
        room += is_next(j, &s) ? s.text.len : 0;
    char *text = malloc(room + 1);
    for (size_t at = 0; text && transcript_next(t, &at, end, &s);)
        if (is_next(j, &s)) {
            memcpy(text + len, s.text.at, s.text.len);
            len += s.text.len;
        }
    *ret_len = len;
    return text;
}

/* The lowest choice from j->choice on that said something of this kind; false: none did. */
static bool find_choice(struct recount_job *j, size_t end)
{
    struct said s;
    uint32_t lowest = UINT32_MAX;
    for (size_t at = 0; transcript_next(&j->r->work.recount->said, &at, end, &s);)
        if (s.kind == j->kind && s.choice >= j->choice && s.choice < lowest)
            lowest = s.choice;
    j->choice = lowest;
    return lowest != UINT32_MAX;
}

static void next_said(struct recount_job *j)
{
    size_t end = j->r->work.recount->said_end;
    for (; j->kind < SAID_KINDS; j->kind++, j->choice = 0) {
        if (find_choice(j, end)) {
            j->text = gather(j, end, &j->text_len);
            j->in_text = j->text != NULL;
            j->failed = !j->text;
            if (j->text)
                bpe_run_text(j->run, (struct span){ j->text, j->text_len });
            j->choice++;
            return;
        }
        uint64_t tokens = bpe_run_tokens(j->run);
        *(j->kind == SAID_TEXT ? &j->count.text : &j->count.reasoning) = tokens - j->before;
        j->before = tokens;
    }
    j->done = true;
    j->count.output_whole = !j->r->work.recount->said.incomplete;
}

/* Output that the client does not see, or that is no text. */
static bool is_hidden(const struct request *r)
{
    struct jfield f[] = { { .key = "echo" }, { .key = "best_of" } };
    struct span body = { r->in.body, r->in.body_len };
    return r->answer.raw || (r->answer.content_type && !r->answer.stream) ||
           (r->target.row->capability == CAP_COMPLETIONS &&
            (jscan_member(body, f, 2) != STATUS_OK || f[0].type == J_TRUE ||
             f[1].type == J_NUMBER));
}

/* What only needs doing once, and not by the loop: whole bodies are looked through. */
static void begin(struct recount_job *j)
{
    struct request *r = j->r;
    j->run = bpe_run_new(r->model->tokenizer->bpe);
    j->failed = !j->run;
    if (j->part == RECOUNT_INPUT)
        prompt_texts_init(&j->prompts, r);
    else if (is_hidden(r))
        r->work.recount->said.incomplete = true;
    else if (!r->ask.stream && r->target.row->capability != CAP_EMBEDDINGS) {
        transcript_add(&r->work.recount->said, buf_span(&r->answer.body));
        r->work.recount->said_end = r->work.recount->said.log.len;
    }
}

static void count_slice(uv_work_t *work)
{
    struct recount_job *j = (struct recount_job *)work;
    size_t left = RECOUNT_SLICE_BYTES;
    if (!j->run)
        begin(j);
    while (left > 0 && !j->done && !j->failed) {
        if (!j->in_text) {
            j->part == RECOUNT_INPUT ? next_prompt(j) : next_said(j);
            continue;
        }
        enum bpe_step step = bpe_run_step(j->run, left);
        size_t cost = j->text_len + TEXT_BYTES;
        left = step == BPE_DONE && cost < left ? left - cost : 0;
        j->failed = step == BPE_FAILED;
        if (step != BPE_DONE)
            continue;
        free(j->text);
        j->text = NULL;
        j->in_text = false;
    }
}

/* ---- on the loop ---- */

/* What failed is as what cannot be counted; the number so far is of no use. */
static void take(struct recount *c, const struct recount_job *j)
{
    if (j->part == RECOUNT_INPUT) {
        c->input_done = true;
        c->count.input = j->failed ? 0 : j->count.input;
        c->count.input_whole = !j->failed && j->count.input_whole;
        return;
    }
    c->output_done = true;
    c->count.text = j->failed ? 0 : j->count.text;
    c->count.reasoning = j->failed ? 0 : j->count.reasoning;
    c->count.output_whole = !j->failed && j->count.output_whole;
}

static void slice_counted(uv_work_t *work, int status)
{
    struct recount_job *j = (struct recount_job *)work;
    struct request *r = j->r;
    assert(status == 0); /* nobody cancels it */
    if (!j->done && !j->failed &&
        uv_queue_work(&r->loop->uv, work, count_slice, slice_counted) == 0)
        return;
    j->failed = j->failed || !j->done;
    take(r->work.recount, j);
    r->work.recount->running = false;
    bpe_run_free(j->run);
    free(j->text);
    free(j);
    request_resume(r);
}

/* Of a stream up to what its client has, when it left. */
static size_t said_wanted(const struct request *r)
{
    const struct delivery *d = &r->work.delivery;
    if (!r->ask.stream)
        return r->work.recount->said_end; /* what there is: an answer that is whole */
    return r->gone ? d->sent.said : d->added.said;
}

static bool is_counted(const struct request *r, enum recount_part part)
{
    const struct recount *c = r->work.recount;
    if (part == RECOUNT_INPUT)
        return c->input_done;
    return c->output_done && c->said_end == said_wanted(r);
}

bool recount_wait(struct request *r, enum recount_part part)
{
    struct recount *c = r->work.recount;
    if (c->running || is_counted(r, part))
        return c->running;
    struct recount_job *j = calloc(1, sizeof *j);
    c->said_end = part == RECOUNT_OUTPUT ? said_wanted(r) : c->said_end;
    if (j) {
        j->r = r;
        j->part = part;
        c->running = uv_queue_work(&r->loop->uv, &j->work, count_slice, slice_counted) == 0;
    }
    if (!c->running) {
        take(c, &(struct recount_job){ .part = part, .failed = true });
        free(j);
    }
    return c->running;
}
