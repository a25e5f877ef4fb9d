/* gateway/desk.c -- see desk.h. */
#include "gateway/desk.h"
#include "base/log.h"
#include "gateway/loop.h"
#include "gateway/metrics.h"

enum {
    REST_MS = 100
}; /* after a refusal that names no time: a backend that refuses fast is idle */

bool desk_available(const struct backend *b, int64_t now_ms)
{
    return b && atomic_load_explicit(&b->stats.up, memory_order_relaxed) &&
           atomic_load_explicit(&desk_of(b)->standing->word, memory_order_relaxed) ==
               WORD_ENABLED &&
           health_available(&desk_of(b)->health, now_ms);
}

enum health_call desk_began(const struct backend *b, int64_t now_ns)
{
    return health_begin(&desk_of(b)->health, now_ns / 1000000);
}

void desk_first_byte(const struct backend *b, int64_t ttft_ns, uint64_t input_tokens,
                     int64_t now_ns)
{
    struct desk *desk = desk_of(b);
    pace_sample(&desk->pace, ttft_ns, input_tokens, now_ns);
    atomic_store_explicit(&desk->stats.ttft_ns, desk->pace.ttft_ns, memory_order_relaxed);
}

static void note_health(struct desk *desk, bool was_ejected)
{
    const struct health *h = &desk->health;
    atomic_store_explicit(&desk->stats.failures_in_a_row, h->failures, memory_order_relaxed);
    atomic_store_explicit(&desk->stats.ejected_until_ms, h->ejected ? h->until_ms : 0,
                          memory_order_relaxed);
    if (h->ejected && !was_ejected)
        desk->loop->ejected++;
    if (was_ejected && !h->ejected)
        desk->loop->ejected--;
}

static void tell_health(const struct desk *desk, bool newly, bool was_ejected, int64_t now_ms)
{
    const struct health *h = &desk->health;
    const char *name = desk->standing->name;
    if (newly)
        log_peer("backend_ejected backend=%s loop=%u for_ms=%lld", name, desk->loop->index,
                 (long long)(h->until_ms - now_ms));
    else if (was_ejected && !h->ejected)
        log_info("backend_restored backend=%s loop=%u", name, desk->loop->index);
}

static void judge(struct desk *desk, enum health_call call, enum health_verdict verdict,
                  int64_t now_ms, bool may_eject)
{
    bool was = desk->health.ejected;
    bool newly = health_end(&desk->health, call, verdict, now_ms, may_eject);
    if (newly)
        COUNT(&desk->stats, ejections);
    note_health(desk, was);
    tell_health(desk, newly, was, now_ms);
}

/* A plain success of a healthy backend, which most are, changes nothing. */
void desk_ended(const struct backend *b, enum health_call call, const struct backend_end *end,
                int64_t now_ns, bool may_eject)
{
    struct desk *desk = desk_of(b);
    bool dull = call == HEALTH_PLAIN && end->health == HEALTH_GOOD && !desk->health.ejected &&
                !desk->health.failures;
    bool refused = end->untouched && !end->unanswered;
    if (!dull)
        judge(desk, call, end->health, now_ns / 1000000, may_eject);
    if (end->retry_after_ms || refused)
        standing_rest(desk->standing, end->retry_after_ms ? end->retry_after_ms : REST_MS, now_ns);
}

bool desk_used_up(const struct backend *b, int64_t now_ns)
{
    int64_t until_ms = atomic_load_explicit(&b->stats.limited_until_ms, memory_order_relaxed);
    return until_ms > now_ns / 1000000;
}

void desk_count_affinity(const struct backend *b, bool home)
{
    struct desk_stats *stats = &desk_of(b)->stats;
    if (home)
        COUNT(stats, affinity_hits);
    else
        COUNT(stats, affinity_misses);
}

void desk_close(struct desk *desk)
{
    if (desk->health.ejected)
        desk->loop->ejected--;
}

void desk_tell_trouble(const struct backend *b)
{
    struct desk *desk = desk_of(b);
    char reason[LOG_QUOTE_BYTES];
    if (desk->troubles == b->troubles)
        return;
    desk->troubles = b->troubles;
    if (b->trouble[0])
        log_env("backend_trouble backend=%s reason=%s", b->conf->name,
                log_quote(b->trouble, reason));
    else
        log_info("backend_trouble_over backend=%s", b->conf->name);
}
