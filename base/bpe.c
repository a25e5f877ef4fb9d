/* base/bpe.c -- see bpe.h. */
#include "base/bpe_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SHORT_BYTES = 128,     /* a word up to here is searched for its lowest pair again and again */
    WORDS_BETWEEN = 64,    /* looks at the clock */
    FIRST_NS = 1000000000, /* time that a text may take whatever its length */
    BYTE_NS = 1000,        /* and for each of its bytes: ten times what it takes */
};

struct bpe {
    struct bpe_ranks ranks;
    struct bpe_words *words;
};

struct bpe_run {
    const struct bpe *b;
    struct bpe_match *match;
    struct span text;
    size_t at;
    uint64_t tokens;
    int64_t spent_ns;
    bool failed;
    struct buf *ids; /* NULL: nobody asks */
};

enum status bpe_new(struct span file, enum bpe_pattern pattern, const char *own, struct bpe **ret,
                    char err[static BPE_ERROR_BYTES])
{
    struct bpe *b = calloc(1, sizeof *b);
    snprintf(err, BPE_ERROR_BYTES, "out of memory");
    enum status s = b ? bpe_words_new(pattern, own, &b->words, err) : STATUS_NO_MEMORY;
    if (s == STATUS_OK)
        s = bpe_ranks_read(&b->ranks, file, err);
    if (s == STATUS_OK)
        *ret = b;
    else
        bpe_free(b);
    return s;
}

void bpe_free(struct bpe *b)
{
    if (!b)
        return;
    bpe_words_free(b->words);
    bpe_ranks_free(&b->ranks);
    free(b);
}

size_t bpe_tokens(const struct bpe *b)
{
    return b->ranks.count;
}

size_t bpe_memory(const struct bpe *b)
{
    return sizeof *b + bpe_ranks_memory(&b->ranks);
}

/* ---- one word ---- */

static bool note(struct bpe_run *r, const char *at, size_t len)
{
    uint32_t rank;
    r->tokens++;
    if (!r->ids)
        return true;
    rank = bpe_rank(&r->b->ranks, at, len);
    return buf_add(r->ids, &rank, sizeof rank);
}

struct part { /* a token so far, up to the next one's start; rank: of both joined */
    uint32_t start, rank;
};

static bool join_short(struct bpe_run *r, struct span word)
{
    const struct bpe_ranks *ranks = &r->b->ranks;
    struct part part[SHORT_BYTES + 1];
    unsigned n = (unsigned)word.len;
    for (unsigned i = 0; i <= n; i++)
        part[i] = (struct part){ i, i + 1 < n ? bpe_rank(ranks, word.at + i, 2) : BPE_NO_RANK };
    for (;;) {
        unsigned low = 0;
        for (unsigned i = 1; i + 1 < n; i++)
            if (part[i].rank < part[low].rank)
                low = i;
        if (part[low].rank == BPE_NO_RANK)
            break;
        n--;
        memmove(&part[low + 1], &part[low + 2], (n - low) * sizeof *part);
        for (unsigned i = low ? low - 1 : low; i <= low; i++)
            part[i].rank = i + 1 < n ? bpe_rank(ranks, word.at + part[i].start,
                                                part[i + 2].start - part[i].start)
                                     : BPE_NO_RANK;
    }
    bool ok = true;
    for (unsigned i = 0; ok && i < n; i++)
        ok = note(r, word.at + part[i].start, part[i + 1].start - part[i].start);
    return ok;
}

/* Of a long word: tokens so far as a list, and their pairs in a heap by rank, then place.  A pair
 * whose rank is no longer that of its place has been joined with another and is passed over. */
struct chain {
    const struct bpe_ranks *ranks;
    struct span word;
    uint32_t *next, *before, *rank; /* by the first byte; next: word.len at the end */
    uint64_t *heap;                 /* rank << 32 | place */
    size_t count;
};

static void sink(struct chain *c, size_t i)
{
    uint64_t moved = c->heap[i];
    for (size_t child = 2 * i + 1; child < c->count; child = 2 * i + 1) {
        if (child + 1 < c->count && c->heap[child + 1] < c->heap[child])
            child++;
        if (c->heap[child] >= moved)
            break;
        c->heap[i] = c->heap[child];
        i = child;
    }
    c->heap[i] = moved;
}

static void push(struct chain *c, uint64_t key)
{
    size_t i = c->count++;
    for (; i > 0 && c->heap[(i - 1) / 2] > key; i = (i - 1) / 2)
        c->heap[i] = c->heap[(i - 1) / 2];
    c->heap[i] = key;
}

static void rank_pair(struct chain *c, uint32_t at)
{
    uint32_t second = c->next[at];
    c->rank[at] = second < c->word.len ? bpe_rank(c->ranks, c->word.at + at, c->next[second] - at)
                                       : BPE_NO_RANK;
}

static void push_pair(struct chain *c, uint32_t at)
{
    rank_pair(c, at);
    if (c->rank[at] != BPE_NO_RANK)
        push(c, (uint64_t)c->rank[at] << 32 | at);
}

static void join_pair(struct chain *c, uint32_t at)
{
    uint32_t second = c->next[at], third = c->next[second];
    c->next[at] = third;
    c->rank[second] = BPE_NO_RANK;
    if (third < c->word.len)
        c->before[third] = at;
    push_pair(c, at);
    if (at > 0)
        push_pair(c, c->before[at]);
}

static void join_all(struct chain *c)
{
    uint32_t n = (uint32_t)c->word.len;
    for (uint32_t i = 0; i < n; i++) {
        c->next[i] = i + 1;
        c->before[i] = i ? i - 1 : 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        rank_pair(c, i);
        if (c->rank[i] != BPE_NO_RANK)
            c->heap[c->count++] = (uint64_t)c->rank[i] << 32 | i;
    }
    for (size_t i = c->count / 2; i-- > 0;)
        sink(c, i);
    while (c->count > 0) {
        uint64_t low = c->heap[0];
        c->heap[0] = c->heap[--c->count];
        sink(c, 0);
        uint32_t at = (uint32_t)low;
        if (c->rank[at] == low >> 32)
            join_pair(c, at);
    }
}

/* Each join takes a pair out and puts at most two in, so the heap holds at most twice the bytes. */
static bool join_long(struct bpe_run *r, struct span word)
{
    size_t n = word.len;
    struct chain c = { .ranks = &r->b->ranks, .word = word };
    char *memory = n <= BPE_WORD_BYTES_MAX ? malloc(n * 28 + 8) : NULL;
    if (!memory)
        return false;
    c.heap = (uint64_t *)(void *)memory;
    c.next = (uint32_t *)(void *)(c.heap + 2 * n + 1);
    c.before = c.next + n;
    c.rank = c.before + n;
    join_all(&c);
    bool ok = true;
    for (uint32_t at = 0; ok && at < n; at = c.next[at])
        ok = note(r, word.at + at, c.next[at] - at);
    free(memory);
    return ok;
}

static bool count_word(struct bpe_run *r, struct span word)
{
    if (bpe_rank(&r->b->ranks, word.at, word.len) != BPE_NO_RANK)
        return note(r, word.at, word.len);
    return word.len <= SHORT_BYTES ? join_short(r, word) : join_long(r, word);
}

/* ---- texts ---- */

struct bpe_run *bpe_run_new(const struct bpe *b)
{
    struct bpe_run *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->b = b;
    r->match = bpe_match_new(b->words);
    if (r->match)
        return r;
    free(r);
    return NULL;
}

void bpe_run_free(struct bpe_run *r)
{
    if (!r)
        return;
    bpe_match_free(r->match);
    free(r);
}

void bpe_run_text(struct bpe_run *r, struct span text)
{
    r->text = text;
    r->at = 0;
    r->spent_ns = 0;
    bpe_match_text(r->match, text);
}

uint64_t bpe_run_tokens(const struct bpe_run *r)
{
    return r->tokens;
}

void bpe_run_collect(struct bpe_run *r, struct buf *ids)
{
    r->ids = ids;
}

/* Of this thread: how long others kept it waiting is not the text's fault. */
static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Some words, up to `end`. */
static enum bpe_step some_words(struct bpe_run *r, size_t end)
{
    struct span word;
    for (unsigned i = 0; i < WORDS_BETWEEN && r->at < end; i++) {
        enum bpe_found found = bpe_match_next(r->match, r->at, &word);
        if (found == BPE_NONE) {
            r->at = r->text.len;
            return BPE_DONE;
        }
        if (found == BPE_TROUBLE || !count_word(r, word))
            return BPE_FAILED;
        r->at = (size_t)(word.at - r->text.at) + word.len;
    }
    return r->at < r->text.len ? BPE_MORE : BPE_DONE;
}

enum bpe_step bpe_run_step(struct bpe_run *r, size_t bytes)
{
    size_t end = r->text.len - r->at > bytes ? r->at + bytes : r->text.len;
    int64_t most = FIRST_NS + (int64_t)r->text.len * BYTE_NS, from = cpu_ns();
    enum bpe_step step = r->failed ? BPE_FAILED : BPE_MORE;
    if (r->at == r->text.len && step == BPE_MORE)
        return BPE_DONE;
    while (step == BPE_MORE && r->at < end) {
        step = some_words(r, end);
        int64_t now = cpu_ns();
        r->spent_ns += now - from;
        from = now;
        if (step == BPE_MORE && r->spent_ns > most)
            step = BPE_FAILED;
    }
    r->failed = step == BPE_FAILED;
    return step;
}
