/* backends/refworker/ngram.c -- walking a model: choose an opening, then piece after piece. */
#include "backends/refworker/ngram.h"
#include "backends/refworker/mix64.h"
#include "backends/refworker/ngram_model.h"
#include "backends/refworker/pieces.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum {
    TOPIC_BYTES_MAX = 1024, /* of the prompt's end that are looked at */
    TOPIC_LETTERS_MIN = 4,  /* shorter words carry no topic */
    SHAPED_MAX = 64,        /* followers that temperature and top_p are applied to */
    BACKOFF_ONE_IN = 4,     /* how often a pair with a single follower is not obeyed */
    OPENING_PIECES = 2,
};

bool ngram_closes(struct span piece)
{
    char c = piece.len ? piece.at[piece.len - 1] : ' ';
    return c == '.' || c == '!' || c == '?';
}

uint32_t ngram_vocabulary(const struct ngram *m)
{
    return m->piece_count - 1;
}

static uint32_t throw_dice(struct ngram_walk *w, uint32_t sides)
{
    return (uint32_t)((mix64_next(&w->dice) >> 32) * sides >> 32);
}

/* --- The opening ------------------------------------------------------------------------------- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The corpus positions of " word" in lower case, when the corpus has it but not too often. */
static bool word_places(const struct ngram *m, struct span word, uint32_t *ret_from,
                        uint32_t *ret_to)
{
    char piece[PIECE_BYTES_MAX] = { ' ' };
    size_t n = word.len < PIECE_BYTES_MAX - 1 ? word.len : PIECE_BYTES_MAX - 1;
    for (size_t i = 0; i < n; i++)
        piece[i + 1] = (char)(word.at[i] | 0x20);
    uint64_t key;
    memcpy(&key, piece, sizeof key);
    uint32_t id = map64_find(&m->ids, key);
    if (!id)
        return false;
    *ret_from = m->places_from[id];
    *ret_to = m->places_from[id + 1];
    return *ret_to - *ret_from <= m->corpus_len / 300 + 2;
}

/* The opening at or before a corpus position. */
static uint32_t opening_before(const struct ngram *m, uint32_t position)
{
    uint32_t low = 0, high = m->opening_count; /* openings[low] <= position < openings[high] */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (m->openings[middle] <= position)
            low = middle;
        else
            high = middle;
    }
    return m->openings[low];
}

/* Walks the prompt's words from the last one back to the first that the corpus knows. */
static bool topic_opening(const struct ngram *m, struct span prompt, struct ngram_walk *w)
{
    size_t end = prompt.len, stop = end > TOPIC_BYTES_MAX ? end - TOPIC_BYTES_MAX : 0;
    while (end > stop) {
        while (end > stop && !is_letter(prompt.at[end - 1]))
            end--;
        size_t from = end;
        while (from > stop && is_letter(prompt.at[from - 1]))
            from--;
        uint32_t first, past;
        struct span word = { prompt.at + from, end - from };
        if (word.len >= TOPIC_LETTERS_MIN && word_places(m, word, &first, &past)) {
            w->opening_at = opening_before(m, m->places[first + throw_dice(w, past - first)]);
            return true;
        }
        end = from;
    }
    return false;
}

static void open_anywhere(const struct ngram *m, struct ngram_walk *w)
{
    w->opening_at = m->openings[throw_dice(w, m->opening_count)];
    w->opening_left = OPENING_PIECES;
}

void ngram_begin(const struct ngram *m, struct span prompt, uint64_t seed, struct ngram_walk *w)
{
    *w = (struct ngram_walk){ .dice = seed };
    open_anywhere(m, w);
    topic_opening(m, prompt, w);
}

/* --- The next piece ---------------------------------------------------------------------------- */

/* Picks among the likeliest followers with weights count^(1/temperature), cut off at top_p. */
static uint32_t pick_shaped(const struct ngram *m, const struct ngram_context *c,
                            const struct ngram_sampling *s, struct ngram_walk *w)
{
    double weight[SHAPED_MAX], all = 0, kept = 0;
    uint32_t n = c->count < SHAPED_MAX ? c->count : SHAPED_MAX, before = 0, keep = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t upto = m->followers[c->first + i].upto;
        weight[i] = pow((double)(upto - before), 1 / s->temperature);
        all += weight[i];
        before = upto;
    }
    if (!isfinite(all)) /* so cold that the powers overflow */
        return m->followers[c->first].piece;
    while (keep < n && (keep == 0 || kept < all * s->top_p))
        kept += weight[keep++];
    double at = (double)(mix64_next(&w->dice) >> 11) * 0x1p-53 * kept;
    uint32_t i = 0;
    while (i + 1 < keep && at >= weight[i])
        at -= weight[i++];
    return m->followers[c->first + i].piece;
}

static uint32_t pick_plain(const struct ngram *m, const struct ngram_context *c,
                           struct ngram_walk *w)
{
    const struct ngram_follower *f = m->followers + c->first;
    uint32_t at = throw_dice(w, f[c->count - 1].upto), low = 0, high = c->count - 1;
    while (low < high) { /* the first whose upto is above `at` */
        uint32_t middle = low + (high - low) / 2;
        if (f[middle].upto > at)
            high = middle;
        else
            low = middle + 1;
    }
    return f[low].piece;
}

static uint32_t pick(const struct ngram *m, const struct ngram_context *c,
                     const struct ngram_sampling *s, struct ngram_walk *w)
{
    if (c->count == 1 || s->temperature < 0.01)
        return m->followers[c->first].piece;
    bool plain = fabs(s->temperature - 1) < 1e-9 && s->top_p >= 1;
    return plain ? pick_plain(m, c, w) : pick_shaped(m, c, s, w);
}

static const struct ngram_context *context_of(const struct ngram *m, uint32_t older, uint32_t last)
{
    uint32_t at = map64_find(&m->context_at, ngram_context_key(older, last));
    return at ? &m->contexts[at] : NULL;
}

static uint32_t next_id(const struct ngram *m, struct ngram_walk *w, const struct ngram_sampling *s)
{
    if (w->opening_left > 0) {
        w->opening_left--;
        return m->corpus[w->opening_at++];
    }
    const struct ngram_context *pair = context_of(m, w->older, w->last);
    bool obey = pair && (pair->count > 1 || s->temperature < 0.01 || throw_dice(w, BACKOFF_ONE_IN));
    if (obey)
        return pick(m, pair, s, w);
    const struct ngram_context *single = context_of(m, 0, w->last);
    if (single)
        return pick(m, single, s, w);
    open_anywhere(m, w);
    return next_id(m, w, s);
}

struct span ngram_next(const struct ngram *m, struct ngram_walk *w, const struct ngram_sampling *s)
{
    uint32_t id = next_id(m, w, s);
    assert(id > 0 && id < m->piece_count);
    w->older = w->last;
    w->last = id;
    return ngram_piece(m, id);
}
