/* gateway/standing.c -- see standing.h. */
#include "gateway/standing.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *word_name(enum word w)
{
    static const char *const names[WORD_COUNT] = { "enabled", "drained", "disabled" };
    return names[w];
}

void roster_init(struct roster *ro)
{
    *ro = (struct roster){ .lock = PTHREAD_MUTEX_INITIALIZER };
}

/* ---- who is on it ---- */

static struct rate rate_of(uint64_t per_minute)
{
    return per_minute ? rate_per_minute((int64_t)per_minute) : RATE_FREE;
}

static bool same_rate(struct rate a, struct rate b)
{
    return a.units == b.units && a.burst == b.burst;
}

static bool same_limits(const struct standing *st, const struct catalog_backend *b)
{
    return st->limits.concurrency == b->concurrency && st->queue_max == b->queue_max &&
           st->queue_timeout_ms == b->queue_timeout_ms &&
           same_rate(st->limits.requests, rate_of(b->requests_per_minute)) &&
           same_rate(st->limits.tokens, rate_of(b->tokens_per_minute));
}

/* The newest of the name: it stands first. */
static struct standing *find(struct roster *ro, const char *name)
{
    struct standing *st = ro->first;
    while (st && strcmp(st->name, name) != 0)
        st = st->next;
    return st;
}

static struct standing *standing_new(const struct catalog_backend *b)
{
    struct standing *st = calloc(1, sizeof *st);
    if (!st || !(st->name = strdup(b->name))) {
        free(st);
        return NULL;
    }
    st->limits = (struct limits){ .concurrency = b->concurrency,
                                  .requests = rate_of(b->requests_per_minute),
                                  .tokens = rate_of(b->tokens_per_minute) };
    st->queue_max = b->queue_max;
    st->queue_timeout_ms = b->queue_timeout_ms;
    return st;
}

static struct standing *enroll(struct roster *ro, const struct catalog_backend *b)
{
    struct standing *before = find(ro, b->name);
    if (before && same_limits(before, b)) {
        before->refs++;
        return before;
    }
    struct standing *st = standing_new(b);
    if (!st)
        return NULL;
    st->refs = 1;
    if (before)
        atomic_init(&st->word, atomic_load(&before->word));
    st->next = ro->first;
    ro->first = st;
    return st;
}

static void dismiss(struct roster *ro, struct standing *st)
{
    if (!st || --st->refs > 0)
        return;
    assert(st->queue.length == 0); /* who waits pins a generation */
    struct standing **at = &ro->first;
    while (*at != st)
        at = &(*at)->next;
    *at = st->next;
    free(st->name);
    free(st);
}

struct standing **roster_enroll(struct roster *ro, const struct catalog *c)
{
    struct standing **all = calloc(c->backend_count + 1, sizeof *all);
    bool ok = all != NULL;
    pthread_mutex_lock(&ro->lock);
    for (size_t i = 0; ok && i < c->backend_count; i++)
        ok = (all[i] = enroll(ro, &c->backends[i])) != NULL;
    pthread_mutex_unlock(&ro->lock);
    if (ok)
        return all;
    roster_dismiss(ro, all, c->backend_count);
    return NULL;
}

void roster_dismiss(struct roster *ro, struct standing **all, size_t count)
{
    if (!all)
        return;
    pthread_mutex_lock(&ro->lock);
    for (size_t i = 0; i < count; i++)
        dismiss(ro, all[i]);
    pthread_mutex_unlock(&ro->lock);
    free(all);
}

/* Older ones of the name too: requests that came before a reload still choose by them. */
bool roster_say(struct roster *ro, const char *name, enum word word)
{
    bool found = false;
    pthread_mutex_lock(&ro->lock);
    for (struct standing *st = ro->first; st; st = st->next)
        if (strcmp(st->name, name) == 0) {
            atomic_store_explicit(&st->word, word, memory_order_relaxed);
            found = true;
        }
    pthread_mutex_unlock(&ro->lock);
    return found;
}

enum word roster_word(struct roster *ro, const char *name)
{
    pthread_mutex_lock(&ro->lock);
    const struct standing *st = find(ro, name);
    enum word word = st ? atomic_load_explicit(&st->word, memory_order_relaxed) : WORD_ENABLED;
    pthread_mutex_unlock(&ro->lock);
    return word;
}

/* ---- taking and leaving ---- */

/* What is larger than a minute's worth passes when the whole of that is there. */
static int64_t charge(const struct standing *st, int64_t tokens)
{
    const struct rate *r = &st->limits.tokens;
    return r->units >= 0 && tokens > r->burst ? r->burst : tokens;
}

static int64_t ms_up(int64_t ns)
{
    return ns / 1000000 + (ns % 1000000 != 0);
}

static int64_t longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t standing_wait_ms(const struct standing *st, int64_t tokens, int64_t now_ns)
{
    int64_t rest = atomic_load_explicit(&st->rest_until_ms, memory_order_relaxed);
    int64_t wait = rest ? longer(rest - now_ns / 1000000, 0) : 0;
    if (st->limits.requests.units >= 0)
        wait =
            longer(wait, ms_up(rate_wait_ns(&st->state.requests, st->limits.requests, 1, now_ns)));
    if (st->limits.tokens.units >= 0)
        wait = longer(wait, ms_up(rate_wait_ns(&st->state.tokens, st->limits.tokens,
                                               charge(st, tokens), now_ns)));
    return wait;
}

bool standing_take_turn(struct standing *st, int64_t tokens, int64_t now_ns,
                        struct limits_grant *ret)
{
    struct limits_view ignored;
    return atomic_load_explicit(&st->rest_until_ms, memory_order_relaxed) <= now_ns / 1000000 &&
           limits_enter(&st->state, &st->limits, charge(st, tokens), now_ns, ret, &ignored) ==
               STATUS_OK;
}

bool standing_take(struct standing *st, int64_t tokens, int64_t now_ns, struct limits_grant *ret)
{
    return atomic_load_explicit(&st->waiting, memory_order_acquire) == 0 &&
           standing_take_turn(st, tokens, now_ns, ret);
}

bool standing_leave(struct standing *st, struct limits_grant *g, int64_t used, int64_t now_ns)
{
    limits_leave(&st->state, &st->limits, g, used, now_ns);
    return atomic_load_explicit(&st->waiting, memory_order_seq_cst) > 0;
}

void standing_rest(struct standing *st, int64_t ms, int64_t now_ns)
{
    int64_t until = now_ns / 1000000 + (ms < REST_MS_MAX ? ms : REST_MS_MAX);
    int64_t before = atomic_load_explicit(&st->rest_until_ms, memory_order_relaxed);
    while (before < until &&
           !atomic_compare_exchange_weak_explicit(&st->rest_until_ms, &before, until,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}
