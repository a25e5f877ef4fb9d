/* tests/unit/test_routing_sim.c -- choice, health, pace, queue and retry budget together, in
 * simulated time: hours of traffic in a second, the same on every run.
 *
 * The rules are the real ones; only the glue between them, which in the daemon is
 * gateway/choose.c, wait.c and stage_backend.c, is written once more here, for one loop.
 */
#include "backends/health.h"
#include "backends/pace.h"
#include "backends/queue.h"
#include "backends/route.h"
#include "tests/helpers/routes.h"
#include <check.h>
#include <math.h>
#include <string.h>

enum { BACKENDS_MAX = 10, CALLS_MAX = 512, PROJECTS = 4, ATTEMPTS_MAX = 3, QUEUE_MAX = 256 };
#define MS       INT64_C(1000000)
#define S        (1000 * MS)
#define FOREVER  INT64_MAX
#define PATIENCE (5 * S)

enum fate { ANSWERS, FAILS, REFUSES, DIES }; /* an error of its own; 429; its connection ends */

struct node { /* a backend */
    struct health health;
    struct pace pace;
    uint32_t running, capacity;
    int64_t ttft_ns, work_ns;
    double error_rate, refusal_rate;
    bool dead, lost; /* answers nothing; what runs on it is lost at once */
    struct queue queue;
    uint64_t calls, probes, ejections;
};

struct call {
    enum { FREE, WAITS, RUNS } state;
    struct queue_place places[BACKENDS_MAX]; /* while it waits */
    int64_t project, arrived_ns, until_ns;   /* until: of the run, or of its patience */
    struct route_set tried;
    int at;
    unsigned attempts;
    bool repeated, retries;
    enum health_call health_call;
    enum fate fate;
};

static struct scene scene;
static struct node nodes[BACKENDS_MAX];
static struct call calls[CALLS_MAX];
static size_t count, used; /* backends; of calls, so many have been */
static int64_t now;
static unsigned running, retries, ejected;
static struct {
    uint64_t asked, ok, failed, expired, refused_place, retried, budget, most_retries;
    uint64_t served[PROJECTS];
} seen;

static double uniform(void)
{
    return ((double)(test_random() >> 11) + 0.5) * 0x1p-53;
}

static int64_t exponential(int64_t mean)
{
    return (int64_t)(-log(uniform()) * (double)mean) + 1;
}

static bool usable(const struct node *n, bool panic)
{
    return !n->lost && (panic || health_available(&n->health, now / MS));
}

static void look_at_all(const struct call *c, bool all)
{
    size_t able = 0, out = 0;
    for (size_t i = 0; i < count; i++) {
        able += usable(&nodes[i], true);
        out += usable(&nodes[i], true) && !usable(&nodes[i], false);
    }
    bool panic = all || (ejected > 0 && route_panics(able, out));
    for (size_t i = 0; i < count; i++) {
        const struct node *n = &nodes[i];
        scene.states[i] = (struct route_state){
            .able = usable(n, panic),
            .room = usable(n, panic) && n->running < n->capacity && n->queue.length == 0,
            .running = n->running,
            .pace = pace_now(&n->pace, now),
        };
    }
    scene.view.tried = c->tried;
}

static enum fate decide(const struct node *n)
{
    if (n->dead)
        return FAILS;
    double u = uniform();
    return u < n->error_rate ? FAILS : u < n->error_rate + n->refusal_rate ? REFUSES : ANSWERS;
}

static void begin(struct call *c, int at)
{
    struct node *n = &nodes[at];
    c->state = RUNS;
    c->at = at;
    c->fate = decide(n);
    c->health_call = health_begin(&n->health, now / MS);
    n->probes += c->health_call == HEALTH_PROBE;
    n->calls++;
    n->running++;
    running++;
    route_set_add(&c->tried, (size_t)at);
    c->until_ns = now + (c->fate == ANSWERS ? n->ttft_ns + exponential(n->work_ns) : 1 * MS);
    if (c->fate == ANSWERS)
        pace_sample(&n->pace, n->ttft_ns, 100, now);
}

static void end(struct call *c, uint64_t *what)
{
    retries -= c->retries;
    c->retries = false;
    c->state = FREE;
    ++*what;
}

static void leave_queues(struct call *c)
{
    for (size_t i = 0; i < count; i++)
        queue_leave(&c->places[i]);
}

static void enter_queues(struct call *c)
{
    bool placed = false;
    for (size_t i = 0; i < count; i++) {
        struct queue_place *evicted = NULL;
        memset(&c->places[i], 0, sizeof c->places[i]);
        if (scene.states[i].able && !route_set_has(&c->tried, i))
            placed |= queue_enter(&nodes[i].queue, QUEUE_MAX, &c->places[i], c->project, &evicted);
        if (!evicted)
            continue;
        struct call *loser = NULL;
        for (size_t k = 0; k < CALLS_MAX && !loser; k++)
            if (evicted >= calls[k].places && evicted < calls[k].places + BACKENDS_MAX)
                loser = &calls[k];
        bool left = false;
        for (size_t k = 0; k < count; k++)
            left |= loser->places[k].queue != NULL;
        if (!left)
            end(loser, &seen.refused_place);
    }
    c->state = WAITS;
    c->until_ns = now + PATIENCE;
    if (!placed)
        end(c, &seen.refused_place);
}

static void seek(struct call *c)
{
    look_at_all(c, false);
    int at = route_choose(&scene.view, test_random());
    if (at == ROUTE_NONE && ejected) {
        look_at_all(c, true); /* the last resort */
        at = route_choose(&scene.view, test_random());
    }
    if (at >= 0)
        begin(c, at);
    else if (at == ROUTE_FULL)
        enter_queues(c);
    else
        end(c, &seen.failed);
}

/* Room is handed to the first in turn. */
static void offer(struct node *n)
{
    while (n->running < n->capacity && n->queue.first && usable(n, false)) {
        struct call *c = NULL;
        size_t at = (size_t)(n - nodes);
        for (size_t k = 0; k < CALLS_MAX && !c; k++)
            if (n->queue.first == &calls[k].places[at])
                c = &calls[k];
        queue_serve(n->queue.first);
        leave_queues(c);
        begin(c, (int)at);
    }
}

static bool may_try_again(struct call *c)
{
    if (++c->attempts >= ATTEMPTS_MAX || c->fate == FAILS)
        return false;
    if (c->fate == DIES && c->repeated)
        return false;
    if (c->fate == REFUSES && !route_may_retry(running, retries)) {
        seen.budget++;
        return false;
    }
    return true;
}

static void note_health(struct node *n, struct call *c)
{
    bool was = n->health.ejected;
    size_t able = 0, out = 0;
    for (size_t i = 0; i < count; i++) {
        able += usable(&nodes[i], true);
        out += nodes[i].health.ejected;
    }
    enum health_verdict verdict = c->fate == FAILS || c->fate == DIES ? HEALTH_BAD : HEALTH_GOOD;
    n->ejections +=
        health_end(&n->health, c->health_call, verdict, now / MS, route_may_eject(able, out));
    ejected += n->health.ejected && !was;
    ejected -= was && !n->health.ejected;
}

static void finish(struct call *c)
{
    struct node *n = &nodes[c->at];
    n->running--;
    running--;
    retries -= c->retries;
    c->retries = false;
    note_health(n, c);
    if (c->fate == ANSWERS) {
        seen.served[c->project]++;
        end(c, &seen.ok);
    } else if (may_try_again(c)) {
        seen.retried++;
        c->repeated |= c->fate == DIES;
        c->retries = c->fate == REFUSES;
        retries += c->retries;
        seen.most_retries = retries > seen.most_retries ? retries : seen.most_retries;
        seek(c);
    } else {
        end(c, &seen.failed);
    }
    offer(n);
}

static void arrive(int64_t project)
{
    struct call *c = calls;
    while (c->state != FREE)
        c++;
    ck_assert(c < calls + CALLS_MAX);
    used = c >= calls + used ? (size_t)(c - calls) + 1 : used;
    *c = (struct call){ .project = project, .arrived_ns = now };
    seen.asked++;
    seek(c);
}

static struct call *next_event(void)
{
    struct call *first = NULL;
    for (size_t i = 0; i < used; i++)
        if (calls[i].state != FREE && (!first || calls[i].until_ns < first->until_ns))
            first = &calls[i];
    return first;
}

/* Runs to `until`, with arrivals of each project so far apart on average; 0: none. */
static void run(int64_t until, const int64_t *gaps)
{
    int64_t due[PROJECTS];
    for (int p = 0; p < PROJECTS; p++)
        due[p] = gaps[p] ? now + exponential(gaps[p]) : FOREVER;
    for (;;) {
        struct call *c = next_event();
        int p = 0;
        for (int k = 1; k < PROJECTS; k++)
            p = due[k] < due[p] ? k : p;
        int64_t at = c && c->until_ns < due[p] ? c->until_ns : due[p];
        if (at > until)
            break;
        now = at;
        if (at == due[p]) {
            due[p] += exponential(gaps[p]);
            arrive(p);
        } else if (c->state == WAITS) {
            leave_queues(c);
            end(c, &seen.expired);
        } else {
            finish(c);
        }
    }
    now = until;
}

static void open_scene(size_t n)
{
    scene_open(&scene, n);
    count = n;
    memset(nodes, 0, sizeof nodes);
    memset(calls, 0, sizeof calls);
    memset(&seen, 0, sizeof seen);
    now = 1000 * S;
    running = retries = ejected = 0;
    used = 0;
    for (size_t i = 0; i < n; i++) {
        nodes[i].capacity = 64;
        nodes[i].ttft_ns = 50 * MS;
        nodes[i].work_ns = 200 * MS;
    }
}

static const int64_t steady[PROJECTS] = { 10 * MS, 0, 0, 0 }; /* 100 a second */

/* 1 % of errors at random on each of ten backends, two hours: nobody is ejected for it. */
START_TEST(test_random_errors)
{
    open_scene(10);
    for (size_t i = 0; i < 10; i++)
        nodes[i].error_rate = 0.01;
    run(now + 2 * 3600 * S, steady);
    ck_assert_uint_gt(seen.asked, 700000);
    for (size_t i = 0; i < 10; i++)
        ck_assert_uint_eq(nodes[i].ejections, 0);
    ck_assert_uint_lt(seen.failed, seen.asked / 80);
}
END_TEST

/* One of four fails everything for ten minutes: five calls and the probes are all it costs, and
 * when it is well again it is used again. */
START_TEST(test_one_dead)
{
    open_scene(4);
    run(now + 10 * S, steady);
    nodes[2].dead = true;
    uint64_t before = nodes[2].calls;
    run(now + 600 * S, steady);
    ck_assert_uint_eq(seen.failed, nodes[2].calls - before);
    /* answers that were still under way interrupted the row of failures */
    ck_assert_uint_le(seen.failed, 4 * HEALTH_FAILURES_MAX + nodes[2].probes);
    ck_assert_uint_ge(nodes[2].probes, 4); /* after 30, 60, 90, 120 .. seconds */
    ck_assert_uint_le(nodes[2].probes, 7);
    nodes[2].dead = false;
    run(now + HEALTH_EJECTIONS_MAX * HEALTH_EJECTION_MS * MS, steady);
    before = nodes[2].calls;
    uint64_t all = seen.asked;
    run(now + 60 * S, steady);
    ck_assert_uint_gt(nodes[2].calls - before, (seen.asked - all) / 5);
}
END_TEST

/* All of them fail: at most half, rounded up, are ejected, the rest goes on trying, and with the
 * first that is well again there is service. */
START_TEST(test_all_dead)
{
    open_scene(5);
    for (size_t i = 0; i < 5; i++)
        nodes[i].dead = true;
    run(now + 120 * S, steady);
    ck_assert_uint_eq(seen.ok, 0);
    ck_assert_uint_eq(ejected, 3);
    for (size_t i = 0; i < 5; i++) /* panic: more than half are out, so all are used */
        ck_assert_uint_gt(nodes[i].calls, seen.asked / 20);
    nodes[0].dead = nodes[1].dead = nodes[2].dead = nodes[3].dead = nodes[4].dead = false;
    uint64_t failed = seen.failed;
    run(now + 10 * S, steady);
    ck_assert_uint_le(seen.failed - failed, 2); /* were under way */
    ck_assert_uint_eq(ejected, 0);
}
END_TEST

/* Ten seconds well, ten seconds not, for an hour: it is left alone longer and longer. */
START_TEST(test_flapping)
{
    open_scene(4);
    for (int i = 0; i < 180; i++) {
        nodes[0].dead = true;
        run(now + 10 * S, steady);
        nodes[0].dead = false;
        run(now + 10 * S, steady);
    }
    ck_assert_uint_lt(seen.failed, seen.asked / 1000);
    ck_assert_uint_ge(nodes[0].ejections, 5);
    ck_assert_uint_le(nodes[0].ejections, 60);
}
END_TEST

/* Its process dies with all that runs on it, every ten seconds: nobody notices. */
START_TEST(test_killed_under_load)
{
    open_scene(2);
    for (int i = 0; i < 100; i++) {
        struct node *n = &nodes[i % 2];
        n->lost = true;
        bool told = false;
        for (size_t k = 0; k < CALLS_MAX; k++)
            if (calls[k].state == RUNS && calls[k].at == i % 2) {
                calls[k].fate = DIES;
                calls[k].until_ns = now;
                if (told) /* one death is one failure */
                    calls[k].health_call = HEALTH_PLAIN;
                told = true;
            }
        run(now + 1 * S, steady);
        n->lost = false;
        n->health = (struct health){ 0 };
        ejected = nodes[0].health.ejected + nodes[1].health.ejected;
        run(now + 9 * S, steady);
    }
    ck_assert_uint_eq(seen.failed + seen.expired + seen.refused_place, 0);
    ck_assert_uint_gt(seen.retried, 500);
}
END_TEST

/* All refuse nine of ten: no storm.  Retries stay a fifth of what runs, or three. */
START_TEST(test_retry_budget)
{
    open_scene(4);
    for (size_t i = 0; i < 4; i++)
        nodes[i].refusal_rate = 0.9;
    static const int64_t many[PROJECTS] = { 1 * MS, 0, 0, 0 };
    run(now + 60 * S, many);
    ck_assert_uint_gt(seen.budget, 1000);
    ck_assert_uint_le(seen.most_retries, 24);
    ck_assert_uint_lt(seen.retried, seen.asked / 2);
}
END_TEST

/* Two backends with room for 8 each, 4 projects: three ask for what there is, one for ten times
 * that.  The modest ones get all they ask for; so they do when two are greedy, who share alike. */
START_TEST(test_fairness)
{
    open_scene(2);
    for (size_t i = 0; i < 2; i++)
        nodes[i].capacity = 8; /* 64 calls a second in all */
    static const int64_t one_greedy[PROJECTS] = { 2 * MS, 100 * MS, 100 * MS, 100 * MS };
    run(now + 600 * S, one_greedy);
    for (int p = 1; p < PROJECTS; p++)
        ck_assert_uint_gt(seen.served[p], 5700); /* of 6000 or so */
    ck_assert_uint_gt(seen.served[0], 15000);
    memset(&seen, 0, sizeof seen);
    static const int64_t two_greedy[PROJECTS] = { 2 * MS, 8 * MS, 100 * MS, 0 };
    run(now + 600 * S, two_greedy);
    ck_assert_uint_gt(seen.served[2], 5700);
    ck_assert_double_ge((double)seen.served[0] / (double)seen.served[1], 0.95);
    ck_assert_double_le((double)seen.served[0] / (double)seen.served[1], 1.05);
}
END_TEST

/* One begins ten times later than the others: it is spared, not starved. */
START_TEST(test_slow_to_begin)
{
    open_scene(4);
    nodes[3].ttft_ns = 500 * MS;
    run(now + 600 * S, steady);
    ck_assert_uint_lt(nodes[3].calls, seen.asked / 8);
    ck_assert_uint_gt(nodes[3].calls, seen.asked / 1000);
    for (size_t i = 0; i < 3; i++)
        ck_assert_uint_gt(nodes[i].calls, seen.asked / 4);
    nodes[3].ttft_ns = 50 * MS; /* mended: its share again */
    run(now + 120 * S, steady);
    uint64_t before = nodes[3].calls, asked = seen.asked;
    run(now + 60 * S, steady);
    ck_assert_uint_gt(nodes[3].calls - before, (seen.asked - asked) / 6);
}
END_TEST

Suite *routing_sim_suite(void);
Suite *routing_sim_suite(void)
{
    Suite *s = suite_create("routing_sim");
    TCase *t = tcase_create("hours");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_random_errors);
    tcase_add_test(t, test_one_dead);
    tcase_add_test(t, test_all_dead);
    tcase_add_test(t, test_flapping);
    tcase_add_test(t, test_killed_under_load);
    tcase_add_test(t, test_retry_budget);
    tcase_add_test(t, test_fairness);
    tcase_add_test(t, test_slow_to_begin);
    suite_add_tcase(s, t);
    return s;
}
