/* backends/refworker/ngram_model.c -- building a model: number the pieces, count what follows
 * what, note where sentences begin and where each piece occurs. */
#include "backends/refworker/ngram_model.h"
#include "backends/refworker/ngram.h"
#include "backends/refworker/pieces.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct event { /* `next` was seen after the context `key` */
    uint64_t key;
    uint32_t next;
};

static bool number_pieces(struct ngram *m, struct span text)
{
    m->corpus = calloc(text.len, sizeof *m->corpus);
    m->pieces = calloc(text.len + 1, sizeof *m->pieces);
    m->piece_count = 1;
    if (!m->corpus || !m->pieces || !map64_init(&m->ids, text.len / 8))
        return false;
    while (text.len > 0) {
        size_t n = piece_len(text);
        uint64_t key = 0;
        memcpy(&key, text.at, n);
        uint32_t id = map64_find(&m->ids, key);
        if (!id) {
            id = m->piece_count++;
            m->pieces[id] = key;
            if (!map64_put(&m->ids, key, id))
                return false;
        }
        m->corpus[m->corpus_len++] = id;
        text = (struct span){ text.at + n, text.len - n };
    }
    return true;
}

static int by_key_then_next(const void *left, const void *right)
{
    const struct event *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->next > b->next) - (a->next < b->next);
}

/* While counting, `upto` is the follower's own count. */
static int by_count_down(const void *left, const void *right)
{
    const struct ngram_follower *a = left, *b = right;
    if (a->upto != b->upto)
        return a->upto > b->upto ? -1 : 1;
    return (a->piece > b->piece) - (a->piece < b->piece);
}

static struct event *sorted_events(const struct ngram *m, size_t *ret_count)
{
    struct event *events = calloc(2 * (size_t)m->corpus_len, sizeof *events);
    if (!events)
        return NULL;
    size_t n = 0;
    for (uint32_t i = 1; i < m->corpus_len; i++) {
        uint32_t older = i > 1 ? m->corpus[i - 2] : 0, last = m->corpus[i - 1];
        events[n++] = (struct event){ ngram_context_key(0, last), m->corpus[i] };
        if (older)
            events[n++] = (struct event){ ngram_context_key(older, last), m->corpus[i] };
    }
    qsort(events, n, sizeof *events, by_key_then_next);
    *ret_count = n;
    return events;
}

/* One context from its run of events; the number of its followers. */
static uint32_t count_followers(const struct event *run, size_t len, struct ngram_follower *out)
{
    uint32_t count = 0;
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && run[i].next == run[i - 1].next)
            out[count - 1].upto++;
        else
            out[count++] = (struct ngram_follower){ run[i].next, 1 };
    }
    qsort(out, count, sizeof *out, by_count_down);
    for (uint32_t i = 1; i < count; i++)
        out[i].upto += out[i - 1].upto;
    return count;
}

static bool collect_contexts(struct ngram *m, const struct event *events, size_t count)
{
    m->followers = calloc(count, sizeof *m->followers);
    m->contexts = calloc(count + 1, sizeof *m->contexts);
    if (!m->followers || !m->contexts || !map64_init(&m->context_at, count / 2))
        return false;
    uint32_t contexts = 1, followers = 0;
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && events[end].key == events[i].key;)
            end++;
        uint32_t n = count_followers(events + i, end - i, m->followers + followers);
        m->contexts[contexts] = (struct ngram_context){ followers, n };
        if (!map64_put(&m->context_at, events[i].key, contexts++))
            return false;
        followers += n;
    }
    return true;
}

static bool count_contexts(struct ngram *m)
{
    size_t count = 0;
    struct event *events = sorted_events(m, &count);
    bool ok = events && collect_contexts(m, events, count);
    free(events);
    return ok;
}

static bool opens_sentence(const struct ngram *m, uint32_t i)
{
    struct span piece = ngram_piece(m, m->corpus[i]);
    struct span before = ngram_piece(m, m->corpus[i - 1]);
    if (before.at[before.len - 1] == '\n')
        return true;
    return ngram_closes(before) && piece.len > 1 && piece.at[0] == ' ';
}

/* The last pieces of the corpus are no opening: an opening needs pieces after it. */
static bool find_openings(struct ngram *m)
{
    m->openings = calloc(m->corpus_len, sizeof *m->openings);
    if (!m->openings)
        return false;
    m->openings[m->opening_count++] = 0;
    for (uint32_t i = 1; i + 4 < m->corpus_len; i++)
        if (opens_sentence(m, i))
            m->openings[m->opening_count++] = i;
    return true;
}

static bool find_places(struct ngram *m)
{
    m->places = calloc(m->corpus_len, sizeof *m->places);
    m->places_from = calloc((size_t)m->piece_count + 2, sizeof *m->places_from);
    if (!m->places || !m->places_from)
        return false;
    /* Counted two further on, summed up, then used as fill marks: each ends up at its own start. */
    for (uint32_t i = 0; i < m->corpus_len; i++)
        m->places_from[m->corpus[i] + 2]++;
    for (uint32_t id = 2; id < m->piece_count + 2; id++)
        m->places_from[id] += m->places_from[id - 1];
    for (uint32_t i = 0; i < m->corpus_len; i++)
        m->places[m->places_from[m->corpus[i] + 1]++] = i;
    return true;
}

static const char *corpus_fault(struct span corpus)
{
    if (corpus.len < NGRAM_CORPUS_BYTES_MIN)
        return "it is too small to learn from";
    if (corpus.len > NGRAM_CORPUS_BYTES_MAX)
        return "it is larger than 4 MiB";
    return memchr(corpus.at, '\0', corpus.len) ? "it has a NUL byte, so it is not text" : NULL;
}

struct ngram *ngram_new(struct span corpus, char err[static 256])
{
    const char *fault = corpus_fault(corpus);
    struct ngram *m = fault ? NULL : calloc(1, sizeof *m);
    if (m && number_pieces(m, corpus) && m->corpus_len < 8)
        fault = "it has too few words to learn from";
    else if (m && m->corpus_len && count_contexts(m) && find_openings(m) && find_places(m))
        return m;
    ngram_free(m);
    snprintf(err, 256, "%s", fault ? fault : "there is not enough memory for it");
    return NULL;
}

void ngram_free(struct ngram *m)
{
    if (!m)
        return;
    map64_free(&m->ids);
    map64_free(&m->context_at);
    free(m->pieces);
    free(m->corpus);
    free(m->contexts);
    free(m->followers);
    free(m->openings);
    free(m->places);
    free(m->places_from);
    free(m);
}
