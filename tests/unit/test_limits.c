/* tests/unit/test_limits.c -- GCRA against exact rational arithmetic, and against 64 threads. */
#include "auth/limits.h"
#include <check.h>
#include <pthread.h>
#include "gen/unit_suites.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define START  (1000 * SECOND)

static uint64_t random_state = 88172645463325252u;
static int64_t random_below(int64_t end)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state % (uint64_t)end);
}

/* ---- one bucket ---- */

static const struct {
    const char *label;
    struct rate rate;
    int64_t cost, wait_ns; /* the wait before one more of the same cost */
    bool allowed;
} refill_cases[] = {
    { "a unit after its time", { 60, 10 }, 1, SECOND, true },
    { "a nanosecond early", { 60, 10 }, 1, SECOND - 1, false },
    { "seven a minute, in time", { 7, 3 }, 1, 8571428572, true },
    { "seven a minute, early", { 7, 3 }, 1, 8571428571, false },
    { "the whole burst", { 60000, 60000 }, 60000, MINUTE, true },
    { "the whole burst, early", { 60000, 60000 }, 60000, MINUTE - 1, false },
    { "very fast", { 600000000, 1 }, 1, 100, true },
    { "very fast, early", { 600000000, 1 }, 1, 99, false },
    { "longer than a day of burst", { 1, 100000 }, 100000, 100000 * MINUTE, true },
};

START_TEST(test_refill)
{
    const struct rate r = refill_cases[_i].rate;
    struct rate_state s = { 0 };
    for (int64_t left = r.burst; left > 0; left -= refill_cases[_i].cost)
        ck_assert(rate_take(&s, r, refill_cases[_i].cost, START).allowed);
    struct rate_answer full = rate_take(&s, r, refill_cases[_i].cost, START);
    ck_assert(!full.allowed && !full.impossible);
    ck_assert_int_eq(full.remaining, 0);
    ck_assert_int_gt(full.retry_ns, 0);
    int64_t at = START + refill_cases[_i].wait_ns;
    ck_assert_msg(rate_take(&s, r, refill_cases[_i].cost, at).allowed == refill_cases[_i].allowed,
                  "%s", refill_cases[_i].label);
}
END_TEST

START_TEST(test_retry_is_true)
{
    for (int64_t units = 1; units < 5000; units += 37) {
        const struct rate r = { units, 5 };
        struct rate_state s = { 0 };
        int64_t now = START + random_below(MINUTE);
        while (rate_take(&s, r, 1, now).allowed)
            ;
        struct rate_answer no = rate_take(&s, r, 3, now);
        ck_assert(!rate_take(&s, r, 3, now + no.retry_ns - 2).allowed);
        ck_assert(rate_take(&s, r, 3, now + no.retry_ns).allowed);
        struct rate_answer yes = rate_take(&s, r, 0, now + no.retry_ns);
        ck_assert_int_eq(rate_take(&s, r, 0, now + no.retry_ns + yes.reset_ns).remaining, 5);
    }
}
END_TEST

START_TEST(test_impossible)
{
    struct rate_state s = { 0 };
    struct rate_answer a = rate_take(&s, (struct rate){ 60, 10 }, 11, START);
    ck_assert(!a.allowed && a.impossible);
    ck_assert_int_eq(a.remaining, 10);
    a = rate_take(&s, (struct rate){ 60, 10 }, INT64_MAX, START);
    ck_assert(!a.allowed && a.impossible);
    a = rate_take(&s, (struct rate){ 60, INT64_MAX }, INT64_MAX, START);
    ck_assert(!a.allowed && a.impossible);
    a = rate_take(&s, (struct rate){ 0, 10 }, 1, START);
    ck_assert(!a.allowed && a.impossible);
    ck_assert_int_eq(atomic_load(&s.tat), 0);
}
END_TEST

START_TEST(test_give_back)
{
    const struct rate r = { 60, 60 };
    struct rate_state s = { 0 };
    ck_assert_int_eq(rate_take(&s, r, 50, START).remaining, 10);
    rate_give_back(&s, r, 20, START, START);
    ck_assert_int_eq(rate_take(&s, r, 0, START).remaining, 30);
    rate_give_back(&s, r, 1000, START, START + SECOND);
    ck_assert_int_eq(rate_take(&s, r, 0, START + SECOND).remaining, 60);
    ck_assert_int_eq(rate_take(&s, r, 60, START + 2 * SECOND).remaining, 0);
    rate_give_back(&s, r, 20, START, START + 61 * SECOND); /* too old: time has given it back */
    ck_assert_int_eq(rate_take(&s, r, 0, START + 61 * SECOND).remaining, 59);
}
END_TEST

START_TEST(test_debt)
{
    const struct rate r = { 60, 60 };
    struct rate_state s = { 0 };
    rate_owe(&s, r, 90, START);
    ck_assert(!rate_take(&s, r, 1, START + 30 * SECOND).allowed);
    ck_assert(rate_take(&s, r, 1, START + 31 * SECOND).allowed);
    rate_owe(&s, r, INT64_MAX,
             START + 31 * SECOND); /* a lying backend: at most one burst below empty */
    ck_assert_int_eq(rate_take(&s, r, 0, START + 31 * SECOND).reset_ns, 2 * MINUTE);
    rate_owe(&s, r, 1, START + 31 * SECOND);
    ck_assert_int_eq(rate_take(&s, r, 0, START + 31 * SECOND).reset_ns, 2 * MINUTE);
}
END_TEST

/* ---- the reference: nanoseconds times units, in 128 bits, never rounded ---- */

struct reference {
    struct rate rate;
    __int128 tat; /* ns * units */
};

/* > 0: by how much a take fails. */
static __int128 reference_excess(const struct reference *m, int64_t cost, int64_t now_ns)
{
    __int128 now = (__int128)now_ns * m->rate.units;
    __int128 next = (m->tat > now ? m->tat : now) + (__int128)cost * MINUTE;
    return next - now - (__int128)m->rate.burst * MINUTE;
}

static void reference_move(struct reference *m, __int128 cost, int64_t now_ns)
{
    __int128 now = (__int128)now_ns * m->rate.units;
    if (cost > 0 && m->tat < now)
        m->tat = now;
    m->tat += cost * MINUTE;
    if (cost < 0 && m->tat < now)
        m->tat = now;
}

static const struct rate property_rates[] = {
    { 1, 1 },      { 3, 3 },         { 7, 2 },          { 60, 10 },           { 600, 600 },
    { 3500, 350 }, { 60000, 60000 }, { 123457, 99991 }, { 1000000, 1000000 }, { 60000000, 600000 },
};

START_TEST(test_property)
{
    struct reference m = { .rate = property_rates[_i] };
    struct rate_state s = { 0 };
    const struct rate r = m.rate;
    int64_t now = START, unit_ns = MINUTE / r.units + 1, off_by_a_tick = 0;
    for (int event = 0; event < 100000; event++) {
        now += random_below(4) ? random_below(2 * unit_ns) : random_below(r.burst * unit_ns);
        int64_t cost = random_below(8) ? 1 : 1 + random_below(r.burst);
        __int128 excess = reference_excess(&m, cost, now);
        bool allowed = rate_take(&s, r, cost, now).allowed;
        if (allowed != (excess <= 0)) {
            /* A tick is under half a nanosecond. */
            ck_assert(2 * (excess < 0 ? -excess : excess) < r.units);
            off_by_a_tick++;
        }
        if (!allowed)
            continue;
        reference_move(&m, cost, now);
        if (random_below(3) == 0) {
            int64_t back = random_below(cost + 1);
            rate_give_back(&s, r, back, now, now);
            reference_move(&m, -(__int128)back, now);
        }
    }
    ck_assert_int_le(off_by_a_tick, 5);
}
END_TEST

/* ---- many threads ---- */

enum { THREADS = 64 };

struct blast {
    struct rate_state rate;
    struct limits_state key;
    struct limits limits;
    _Atomic int64_t now, admitted, refused, running_max;
};

static void *blast_rate(void *arg)
{
    struct blast *b = arg;
    for (int i = 0; i < 1000; i++)
        if (rate_take(&b->rate, b->limits.requests, 1, START).allowed)
            atomic_fetch_add(&b->admitted, 1);
    return NULL;
}

static void *blast_moving(void *arg)
{
    struct blast *b = arg;
    for (int i = 0; i < 1000; i++) {
        int64_t now = atomic_fetch_add(&b->now, SECOND / 1000);
        if (rate_take(&b->rate, b->limits.requests, 1, now).allowed)
            atomic_fetch_add(&b->admitted, 1);
    }
    return NULL;
}

static void *blast_enter(void *arg)
{
    struct blast *b = arg;
    for (int i = 0; i < 2000; i++) {
        struct limits_grant g = { 0 };
        struct limits_view v;
        if (limits_enter(&b->key, &b->limits, 10, START, &g, &v) != STATUS_OK)
            continue;
        int64_t running = atomic_load(&b->key.running);
        ck_assert_int_le(running, b->limits.concurrency);
        atomic_fetch_add(&b->admitted, 1);
        limits_leave(&b->key, &b->limits, &g, i % 2 ? 5 : -1, START);
        limits_leave(&b->key, &b->limits, &g, 5, START);
    }
    return NULL;
}

static void run_threads(struct blast *b, void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, body, b), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static const struct rate blast_rates[] = {
    { 7, 1 }, { 7, 1000 }, { 60, 600 }, { 3500, 35000 }, { 60000000, 63999 }
};

START_TEST(test_blast_is_exact)
{
    struct blast b = { .limits.requests = blast_rates[_i] };
    run_threads(&b, blast_rate);
    ck_assert_int_eq(atomic_load(&b.admitted), blast_rates[_i].burst);
}
END_TEST

START_TEST(test_blast_with_time)
{
    struct blast b = { .limits.requests = { 600, 50 }, .now = START };
    run_threads(&b, blast_moving);
    int64_t most = 50 + 600 * (atomic_load(&b.now) - START) / MINUTE;
    ck_assert_int_le(atomic_load(&b.admitted), most);
    ck_assert_int_ge(atomic_load(&b.admitted),
                     most - THREADS); /* late threads carry an old clock */
}
END_TEST

START_TEST(test_blast_concurrency)
{
    struct blast b = { .limits = { { 1000000, 1000000 }, { 100000000, 100000000 }, 3 } };
    run_threads(&b, blast_enter);
    ck_assert_int_gt(atomic_load(&b.admitted), 0);
    ck_assert_int_eq(atomic_load(&b.key.running), 0);
    struct rate_answer left = rate_take(&b.key.requests, b.limits.requests, 0, START);
    ck_assert_int_eq(left.remaining, 1000000 - atomic_load(&b.admitted));
}
END_TEST

/* ---- all limits of a key together ---- */

static const struct {
    const char *label;
    int64_t requests_left, tokens_left, places_left, cost;
    enum status status;
} enter_cases[] = {
    { "all fit", 10, 1000, 4, 1000, STATUS_OK },
    { "no place", 10, 1000, 0, 10, STATUS_RATE_CONCURRENCY },
    { "no request", 0, 1000, 4, 10, STATUS_RATE_REQUESTS },
    { "no tokens", 10, 9, 4, 10, STATUS_RATE_TOKENS },
    { "never fits", 10, 1000, 4, 1001, STATUS_TOO_LARGE_FOR_LIMIT },
    { "nothing left: cheapest first", 0, 0, 0, 10, STATUS_RATE_CONCURRENCY },
};

START_TEST(test_enter_is_all_or_nothing)
{
    const struct limits l = { { 10, 10 }, { 1000, 1000 }, 4 };
    struct limits_state s = { .running = 4 - enter_cases[_i].places_left };
    int64_t running = atomic_load(&s.running);
    rate_owe(&s.requests, l.requests, 10 - enter_cases[_i].requests_left, START);
    rate_owe(&s.tokens, l.tokens, 1000 - enter_cases[_i].tokens_left, START);
    struct limits_grant g = { 0 };
    struct limits_view v;
    enum status status = limits_enter(&s, &l, enter_cases[_i].cost, START, &g, &v);
    ck_assert_int_eq(status, enter_cases[_i].status);
    bool ok = status == STATUS_OK;
    ck_assert(g.held == ok);
    ck_assert_int_eq(atomic_load(&s.running), running + ok);
    ck_assert_int_eq(v.requests.remaining, enter_cases[_i].requests_left - ok);
    ck_assert_int_eq(v.tokens.remaining,
                     enter_cases[_i].tokens_left - (ok ? enter_cases[_i].cost : 0));
    limits_leave(&s, &l, &g, -1, START);
    ck_assert_int_eq(atomic_load(&s.running), running);
    ck_assert_int_eq(rate_take(&s.tokens, l.tokens, 0, START).remaining,
                     enter_cases[_i].tokens_left);
}
END_TEST

START_TEST(test_leave_corrects)
{
    const struct limits l = { { 10, 10 }, { 1000, 1000 }, 4 };
    struct limits_state s = { 0 };
    struct limits_grant g = { 0 };
    struct limits_view v;
    ck_assert_int_eq(limits_enter(&s, &l, 500, START, &g, &v), STATUS_OK);
    limits_leave(&s, &l, &g, 100, START);
    ck_assert_int_eq(rate_take(&s.tokens, l.tokens, 0, START).remaining, 900);
    ck_assert_int_eq(limits_enter(&s, &l, 500, START, &g, &v), STATUS_OK);
    limits_leave(&s, &l, &g, 700, START);
    ck_assert_int_eq(rate_take(&s.tokens, l.tokens, 0, START).remaining, 200);
    ck_assert_int_eq(rate_take(&s.requests, l.requests, 0, START).remaining, 8);
}
END_TEST

/* To wait as long as it says is enough, and a nanosecond less is not; RATE_FREE never waits. */
START_TEST(test_wait)
{
    const struct rate r = refill_cases[_i].rate;
    int64_t cost = refill_cases[_i].cost;
    struct rate_state s = { 0 };
    ck_assert_int_eq(rate_wait_ns(&s, r, r.burst, START), 0);
    ck_assert_int_eq(rate_wait_ns(&s, r, r.burst + 1, START), INT64_MAX);
    ck_assert(rate_take(&s, r, r.burst, START).allowed);
    int64_t wait = rate_wait_ns(&s, r, cost, START);
    ck_assert_int_gt(wait, 0);
    ck_assert_int_eq(rate_wait_ns(&s, r, cost, START + wait), 0);
    ck_assert(!rate_take(&s, r, cost, START + wait - 1).allowed);
    ck_assert(rate_take(&s, r, cost, START + wait).allowed);
    ck_assert_int_eq(rate_wait_ns(&s, (struct rate){ 0, 0 }, 1, START), INT64_MAX);
    ck_assert_int_eq(rate_wait_ns(&s, RATE_FREE, INT64_MAX, START), 0);
}
END_TEST

START_TEST(test_free)
{
    const struct limits l = { RATE_FREE, RATE_FREE, 2 };
    struct limits_state s = { 0 };
    struct limits_grant g[3] = { { 0 } };
    struct limits_view v;
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(limits_enter(&s, &l, INT64_MAX, START, &g[i], &v), STATUS_OK);
    ck_assert_int_eq(limits_enter(&s, &l, 1, START, &g[2], &v), STATUS_RATE_CONCURRENCY);
    limits_leave(&s, &l, &g[0], INT64_MAX, START);
    limits_leave(&s, &l, &g[1], -1, START);
    ck_assert_int_eq(atomic_load(&s.tokens.tat), 0);
    ck_assert_int_eq(atomic_load(&s.running), 0);
}
END_TEST

Suite *limits_suite(void)
{
    Suite *s = suite_create("limits");
    TCase *one = tcase_create("bucket");
    tcase_add_loop_test(one, test_refill, 0, sizeof refill_cases / sizeof *refill_cases);
    tcase_add_test(one, test_retry_is_true);
    tcase_add_test(one, test_impossible);
    tcase_add_loop_test(one, test_wait, 0, sizeof refill_cases / sizeof *refill_cases);
    tcase_add_test(one, test_free);
    tcase_add_test(one, test_give_back);
    tcase_add_test(one, test_debt);
    tcase_add_loop_test(one, test_property, 0, sizeof property_rates / sizeof *property_rates);
    suite_add_tcase(s, one);
    TCase *many = tcase_create("threads");
    tcase_set_timeout(many, 60);
    tcase_add_loop_test(many, test_blast_is_exact, 0, sizeof blast_rates / sizeof *blast_rates);
    tcase_add_test(many, test_blast_with_time);
    tcase_add_test(many, test_blast_concurrency);
    suite_add_tcase(s, many);
    TCase *key = tcase_create("key");
    tcase_add_loop_test(key, test_enter_is_all_or_nothing, 0,
                        sizeof enter_cases / sizeof *enter_cases);
    tcase_add_test(key, test_leave_corrects);
    suite_add_tcase(s, key);
    return s;
}
