/* auth/limits.c -- GCRA in ticks, so that no division ever loses a unit.
 *
 * A rate's word counts ticks: one unit is exactly 2^shift of them, with the shift
 * chosen so that a minute has 2^37 to 2^38 ticks and a tick is under half a
 * nanosecond.  Costs, bursts and debts are then whole numbers; only the clock is
 * rounded, once, when it is read, and the error never adds up.  With nanoseconds
 * instead, a rate such as 7 a minute would drift or admit one too few.
 */
#include "auth/limits.h"
#include <assert.h>

enum { TICK_BITS = 37, CLOCK_BITS_MAX = 59 };
#define NS_PER_MINUTE INT64_C(60000000000)
#define TICKS_MAX     (INT64_C(1) << 60)

/* A rate in ticks. units == 0: nothing passes. */
struct ticks {
    int64_t now, burst, units;
    int shift;
};

static int64_t at_most(__int128 value, int64_t max)
{
    return value < max ? (int64_t)value : max;
}

static int64_t units_to_ticks(const struct ticks *t, int64_t units)
{
    return at_most((__int128)units << t->shift, TICKS_MAX);
}

static int64_t clock_to_ticks(const struct ticks *t, int64_t ns)
{
    assert(ns >= 0 && ns < INT64_C(1) << CLOCK_BITS_MAX); /* 18 years of uptime */
    return (int64_t)((((__int128)ns * t->units) << t->shift) / NS_PER_MINUTE);
}

/* Rounded up: who waits that long will pass. */
static int64_t ticks_to_ns(const struct ticks *t, int64_t ticks)
{
    __int128 per_minute = (__int128)t->units << t->shift;
    __int128 ns = ((__int128)ticks * NS_PER_MINUTE + per_minute - 1) / per_minute;
    return at_most(ns, INT64_MAX);
}

static struct ticks ticks_of(struct rate r, int64_t now_ns)
{
    struct ticks t = { .units = at_most(r.units, INT64_C(1) << TICK_BITS) };
    if (t.units <= 0)
        return (struct ticks){ 0 };
    t.shift = TICK_BITS - (63 - __builtin_clzll((unsigned long long)t.units));
    t.burst = at_most((__int128)r.burst << t.shift, TICKS_MAX - 1);
    t.now = clock_to_ticks(&t, now_ns);
    return t;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static struct rate_answer answer(const struct ticks *t, int64_t tat, bool allowed)
{
    int64_t filled = later(tat - t->now, 0);
    return (struct rate_answer){
        .allowed = allowed,
        .remaining = filled < t->burst ? (t->burst - filled) >> t->shift : 0,
        .reset_ns = ticks_to_ns(t, filled),
    };
}

static const struct rate_answer unlimited = { .allowed = true, .remaining = INT64_MAX };

struct rate_answer rate_take(struct rate_state *s, struct rate r, int64_t cost, int64_t now_ns)
{
    assert(cost >= 0);
    if (r.units < 0)
        return unlimited;
    struct ticks t = ticks_of(r, now_ns);
    if (t.units == 0)
        return (struct rate_answer){ .impossible = true };
    int64_t step = units_to_ticks(&t, cost);
    int64_t tat = atomic_load_explicit(&s->tat, memory_order_relaxed);
    int64_t next;
    do {
        next = later(tat, t.now) + step;
        if (next - t.now > t.burst) {
            struct rate_answer no = answer(&t, tat, false);
            no.impossible = step > t.burst;
            no.retry_ns = no.impossible ? 0 : ticks_to_ns(&t, next - t.now - t.burst);
            return no;
        }
    } while (!atomic_compare_exchange_weak_explicit(&s->tat, &tat, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return answer(&t, next, true);
}

/* What rate_take would have left alone: the state of the bucket, nothing taken. */
static struct rate_answer rate_look(struct rate_state *s, struct rate r, int64_t now_ns)
{
    if (r.units < 0)
        return unlimited;
    struct ticks t = ticks_of(r, now_ns);
    if (t.units == 0)
        return (struct rate_answer){ .impossible = true };
    return answer(&t, atomic_load_explicit(&s->tat, memory_order_relaxed), true);
}

int64_t rate_wait_ns(const struct rate_state *s, struct rate r, int64_t cost, int64_t now_ns)
{
    assert(cost >= 0);
    if (r.units < 0)
        return 0;
    struct ticks t = ticks_of(r, now_ns);
    int64_t step = units_to_ticks(&t, cost);
    if (t.units == 0 || step > t.burst)
        return INT64_MAX;
    int64_t tat = later(atomic_load_explicit(&s->tat, memory_order_relaxed), t.now);
    return tat + step - t.now <= t.burst ? 0 : ticks_to_ns(&t, tat + step - t.now - t.burst);
}

void rate_give_back(struct rate_state *s, struct rate r, int64_t cost, int64_t taken_ns,
                    int64_t now_ns)
{
    assert(cost >= 0);
    struct ticks t = ticks_of(r, now_ns);
    if (t.units == 0 || t.now - clock_to_ticks(&t, taken_ns) >= t.burst)
        return;
    int64_t step = units_to_ticks(&t, cost);
    int64_t tat = atomic_load_explicit(&s->tat, memory_order_relaxed);
    while (tat > t.now &&
           !atomic_compare_exchange_weak_explicit(&s->tat, &tat, later(tat - step, t.now),
                                                  memory_order_acq_rel, memory_order_relaxed))
        ;
}

/* The debt is bounded by one more burst: usage comes from a backend, and one that
 * reports nonsense must not lock its caller out for a year. */
void rate_owe(struct rate_state *s, struct rate r, int64_t cost, int64_t now_ns)
{
    assert(cost >= 0);
    struct ticks t = ticks_of(r, now_ns);
    if (t.units == 0)
        return;
    int64_t step = units_to_ticks(&t, cost);
    int64_t tat = atomic_load_explicit(&s->tat, memory_order_relaxed), next;
    do {
        int64_t most = later(tat, t.now + 2 * t.burst);
        next = at_most((__int128)later(tat, t.now) + step, most);
    } while (!atomic_compare_exchange_weak_explicit(&s->tat, &tat, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
}

static bool place_take(struct limits_state *s, int64_t places)
{
    int64_t running = atomic_load_explicit(&s->running, memory_order_relaxed);
    while (running < places)
        if (atomic_compare_exchange_weak_explicit(&s->running, &running, running + 1,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return true;
    return false;
}

static void place_free(struct limits_state *s)
{
    int64_t before = atomic_fetch_sub_explicit(&s->running, 1, memory_order_acq_rel);
    assert(before > 0);
}

/* With a place held: requests, then tokens. */
static enum status take_rates(struct limits_state *s, const struct limits *l, int64_t tokens,
                              int64_t now_ns, struct limits_view *view)
{
    view->requests = rate_take(&s->requests, l->requests, 1, now_ns);
    if (!view->requests.allowed) {
        view->tokens = rate_look(&s->tokens, l->tokens, now_ns);
        return STATUS_RATE_REQUESTS;
    }
    view->tokens = rate_take(&s->tokens, l->tokens, tokens, now_ns);
    if (view->tokens.allowed)
        return STATUS_OK;
    rate_give_back(&s->requests, l->requests, 1, now_ns, now_ns);
    view->requests = rate_look(&s->requests, l->requests, now_ns);
    return view->tokens.impossible ? STATUS_TOO_LARGE_FOR_LIMIT : STATUS_RATE_TOKENS;
}

enum status limits_enter(struct limits_state *s, const struct limits *l, int64_t tokens,
                         int64_t now_ns, struct limits_grant *ret_grant,
                         struct limits_view *ret_view)
{
    if (!place_take(s, l->concurrency)) {
        ret_view->requests = rate_look(&s->requests, l->requests, now_ns);
        ret_view->tokens = rate_look(&s->tokens, l->tokens, now_ns);
        return STATUS_RATE_CONCURRENCY;
    }
    enum status status = take_rates(s, l, tokens, now_ns, ret_view);
    if (status != STATUS_OK) {
        place_free(s);
        return status;
    }
    *ret_grant = (struct limits_grant){ .held = true, .tokens = tokens, .taken_ns = now_ns };
    return STATUS_OK;
}

void limits_leave(struct limits_state *s, const struct limits *l, struct limits_grant *g,
                  int64_t used, int64_t now_ns)
{
    if (!g->held)
        return;
    g->held = false;
    used = later(used, 0);
    if (used < g->tokens)
        rate_give_back(&s->tokens, l->tokens, g->tokens - used, g->taken_ns, now_ns);
    else
        rate_owe(&s->tokens, l->tokens, used - g->tokens, now_ns);
    place_free(s);
}
