/* tests/unit/test_queue.c -- waiting in turn, against a model that is too slow to be wrong. */
#include "backends/queue.h"
#include "tests/helpers/routes.h"
#include <check.h>

static struct queue q;
static struct queue_place places[4096];

static bool enter(unsigned i, int64_t project, uint32_t max)
{
    struct queue_place *evicted;
    return queue_enter(&q, max, &places[i], project, &evicted) && !evicted;
}

static int64_t serve(void)
{
    struct queue_place *p = q.first;
    queue_serve(p);
    return p->project;
}

START_TEST(test_first_come_first_served)
{
    for (unsigned i = 0; i < 100; i++)
        ck_assert(enter(i, 7, 100));
    ck_assert(!enter(100, 7, 100) && !queue_takes(&q, 100, 7));
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_ptr_eq(q.first, &places[i]);
        serve();
    }
    ck_assert(q.length == 0 && !q.first && !q.last);
}
END_TEST

/* A thousand of one project do not keep another waiting; of equals each has its turn. */
START_TEST(test_in_turn)
{
    for (unsigned i = 0; i < 1000; i++)
        ck_assert(enter(i, 1, 4096));
    for (unsigned i = 0; i < 3; i++)
        serve();
    ck_assert(enter(1000, 2, 4096) && enter(1001, 3, 4096) && enter(1002, 2, 4096));
    static const int64_t expect[] = { 1, 2, 3, 1, 2, 1 };
    for (size_t i = 0; i < sizeof expect / sizeof *expect; i++)
        ck_assert_int_eq(serve(), expect[i]);
}
END_TEST

/* Who comes back as soon as it was served has its turn, not every turn. */
START_TEST(test_coming_back)
{
    unsigned served[3] = { 0 };
    for (unsigned i = 0; i < 100; i++)
        ck_assert(enter(i, 1, 4096));
    ck_assert(enter(100, 2, 4096));
    for (unsigned i = 101; i < 151; i++) {
        int64_t project = serve();
        served[project]++;
        ck_assert(project != 2 || enter(i, 2, 4096));
    }
    ck_assert_uint_eq(served[1], 25);
    ck_assert_uint_eq(served[2], 25);
}
END_TEST

/* Full: who waits with the most gives way, and only to one who waits with fewer. */
START_TEST(test_eviction)
{
    struct queue_place *evicted;
    for (unsigned i = 0; i < 6; i++)
        ck_assert(enter(i, i < 4 ? 1 : 2, 6));
    ck_assert(!queue_takes(&q, 6, 1) && queue_takes(&q, 6, 2) && queue_takes(&q, 6, 3));
    ck_assert(queue_enter(&q, 6, &places[6], 3, &evicted));
    ck_assert_ptr_eq(evicted, &places[3]); /* the newest of project 1 */
    ck_assert_ptr_null(evicted->queue);
    ck_assert(queue_enter(&q, 6, &places[7], 3, &evicted));
    ck_assert_ptr_eq(evicted, &places[2]);
    ck_assert(!queue_takes(&q, 6, 1) && !queue_takes(&q, 6, 2)); /* two each */
    ck_assert(!queue_enter(&q, 0, &places[8], 9, &evicted) || evicted);
    ck_assert_uint_eq(q.length, 6);
}
END_TEST

START_TEST(test_nobody_may_wait)
{
    struct queue_place *evicted;
    ck_assert(!queue_takes(&q, 0, 1) && !queue_enter(&q, 0, &places[0], 1, &evicted));
    queue_leave(&places[0]); /* who does not wait may leave */
    ck_assert_uint_eq(q.length, 0);
}
END_TEST

/* Any order of events: the links hold and rounds never fall.  When nobody gives up (what a project
 * has behind one that does keeps its round), none that waits is passed over for two rounds. */
START_TEST(test_random_events)
{
    enum { PROJECTS = 5, MAX = 200, ROUNDS = 200000 };
    unsigned waiting[PROJECTS] = { 0 }, served[PROJECTS] = { 0 }, other[PROJECTS] = { 0 };
    for (int round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)(test_random() % 1000);
        int64_t project = (int64_t)(test_random() % PROJECTS);
        struct queue_place *evicted = NULL;
        switch (test_random() % 3) {
        case 0:
            if (!places[i].queue && queue_enter(&q, MAX, &places[i], project, &evicted)) {
                if (evicted) /* may be of the same project */
                    waiting[evicted->project]--;
                waiting[project]++;
            }
            break;
        case 1:
            if (_i == 0 && places[i].queue && test_random() % 8 == 0) {
                waiting[places[i].project]--;
                queue_leave(&places[i]);
            }
            break;
        default:
            if (!q.first)
                break;
            project = serve();
            waiting[project]--;
            served[project]++;
            for (int p = 0; p < PROJECTS; p++) { /* since when has p been passed over? */
                other[p] = p == project || !waiting[p] ? 0 : other[p] + 1;
                ck_assert(_i == 0 || other[p] <= 2 * PROJECTS);
            }
        }
        uint32_t length = 0;
        uint64_t last = 0;
        for (struct queue_place *p = q.first; p; p = p->next) {
            ck_assert_uint_ge(p->round, last);
            ck_assert_ptr_eq(p->next ? p->next->prev : q.last, p);
            last = p->round;
            length++;
        }
        ck_assert_uint_eq(length, q.length);
        ck_assert_uint_le(length, MAX);
    }
    for (int p = 0; p < PROJECTS; p++)
        ck_assert_uint_gt(served[p], ROUNDS / 100);
}
END_TEST

static void reset(void)
{
    q = (struct queue){ 0 };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        places[i] = (struct queue_place){ 0 };
}

Suite *queue_suite(void);
Suite *queue_suite(void)
{
    Suite *s = suite_create("queue");
    TCase *t = tcase_create("queue");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, reset, NULL);
    tcase_add_test(t, test_first_come_first_served);
    tcase_add_test(t, test_in_turn);
    tcase_add_test(t, test_coming_back);
    tcase_add_test(t, test_eviction);
    tcase_add_test(t, test_nobody_may_wait);
    tcase_add_loop_test(t, test_random_events, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
