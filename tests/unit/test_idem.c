/* tests/unit/test_idem.c -- Idempotency-Key in the ledger: taken once, given back, forgotten. */
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNIT   MONEY_ATOMS_PER_UNIT
#define DAY_US (INT64_C(24) * 3600 * 1000000)

static struct fixture f;
static int64_t rich;

static void setup(void)
{
    rich = fixture_rich(&f);
}

static void teardown(void)
{
    fixture_end(&f);
}

static struct idem idem_of(const char *key, const char *request)
{
    struct idem i = { .answer.header_bytes = -1 };
    digest_sha256(key, strlen(key), i.key);
    digest_sha256(request, strlen(request), i.fingerprint);
    return i;
}

static enum status hold(struct ledger_hold *h, int64_t project, struct idem *i)
{
    *h = fixture_hold_of(&f, project, 250000);
    h->idem = i;
    return fixture_hold(&f, h);
}

static void settle(const struct ledger_hold *h, enum outcome outcome, struct idem *i,
                   const char *answer)
{
    bool charged = outcome == OUTCOME_OK || outcome == OUTCOME_CLIENT_GONE;
    struct ledger_settle s = fixture_settle_of(h, charged ? 10 : 0, 0);
    s.outcome = outcome;
    i->answer.body = answer;
    i->answer.len = answer ? strlen(answer) : 0;
    s.idem = answer ? i : NULL;
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
}

/* What the ledger says to the key that was used before. */
static enum idem_found again(const char *key, const char *request, struct idem *ret)
{
    struct ledger_hold h;
    *ret = idem_of(key, request);
    ck_assert_int_eq(hold(&h, rich, ret), STATUS_CONFLICT);
    return ret->found;
}

static void free_answer(struct idem *i)
{
    free((void *)(uintptr_t)i->answer.body);
}

START_TEST(test_a_key_is_charged_once)
{
    struct idem first = idem_of("k", "a"), next;
    struct ledger_hold h;
    ck_assert_int_eq(hold(&h, rich, &first), STATUS_OK);
    ck_assert_int_eq(again("k", "a", &next), IDEM_RUNS);
    ck_assert_int_eq(again("k", "b", &next), IDEM_OTHER);
    settle(&h, OUTCOME_OK, &first, "{\"answer\":1}");
    ck_assert_int_eq(again("k", "b", &next), IDEM_OTHER);
    ck_assert_int_eq(next.original, h.rid);
    ck_assert_int_eq(again("k", "a", &next), IDEM_REPLAY);
    ck_assert_int_eq(next.original, h.rid);
    ck_assert_uint_eq(next.answer.len, 12);
    ck_assert_mem_eq(next.answer.body, "{\"answer\":1}", 12);
    ck_assert_int_eq(next.answer.header_bytes, -1);
    ck_assert_str_eq(next.answer.type, "");
    free_answer(&next);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM request_open"), 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM idempotency"), 1);
}
END_TEST

START_TEST(test_what_belongs_to_the_answer_is_kept)
{
    struct idem first = idem_of("k", "a"), next;
    struct ledger_hold h;
    ck_assert_int_eq(hold(&h, rich, &first), STATUS_OK);
    snprintf(first.answer.type, sizeof first.answer.type, "application/octet-stream");
    first.answer.header_bytes = 3;
    settle(&h, OUTCOME_OK, &first, "abcd");
    ck_assert_int_eq(again("k", "a", &next), IDEM_REPLAY);
    ck_assert_str_eq(next.answer.type, "application/octet-stream");
    ck_assert_int_eq(next.answer.header_bytes, 3);
    free_answer(&next);
}
END_TEST

START_TEST(test_a_key_is_its_projects)
{
    int64_t other = fixture_project(&f, "other", 1000 * UNIT, "month");
    struct idem mine = idem_of("k", "a"), theirs = idem_of("k", "b");
    struct ledger_hold h, g;
    ck_assert_int_eq(hold(&h, rich, &mine), STATUS_OK);
    ck_assert_int_eq(hold(&g, other, &theirs), STATUS_OK);
    settle(&h, OUTCOME_OK, &mine, NULL);
    settle(&g, OUTCOME_OK, &theirs, NULL);
}
END_TEST

static const enum outcome voided[] = { OUTCOME_FAILED_PRE, OUTCOME_CLIENT_GONE_0,
                                       OUTCOME_ORPHAN_0 };

START_TEST(test_a_voided_request_gives_its_key_back)
{
    struct idem first = idem_of("k", "a"), second = idem_of("k", "b"), next;
    struct ledger_hold h;
    ck_assert_int_eq(hold(&h, rich, &first), STATUS_OK);
    settle(&h, voided[_i], &first, NULL);
    ck_assert_int_eq(hold(&h, rich, &second), STATUS_OK);
    ck_assert_int_eq(again("k", "b", &next), IDEM_RUNS);
    ck_assert_int_eq(next.original, h.rid);
    settle(&h, OUTCOME_CLIENT_GONE, &second, NULL);
    ck_assert_int_eq(again("k", "b", &next), IDEM_GONE); /* charged, in part */
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM idempotency"), 1);
}
END_TEST

START_TEST(test_a_refused_hold_takes_no_key)
{
    int64_t poor = fixture_project(&f, "poor", 1, "month");
    struct idem i = idem_of("k", "a");
    struct ledger_hold h;
    ck_assert_int_eq(hold(&h, poor, &i), STATUS_NO_QUOTA);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM idempotency"), 0);
}
END_TEST

/* A replay costs nothing, so a project that has no money left gets it. */
START_TEST(test_a_replay_needs_no_budget)
{
    int64_t poor = fixture_project(&f, "poor", 250000, "month");
    struct idem first = idem_of("k", "a"), next = first;
    struct ledger_hold h;
    ck_assert_int_eq(hold(&h, poor, &first), STATUS_OK);
    settle(&h, OUTCOME_OK, &first, "{}");
    ck_assert_int_eq(hold(&h, poor, &next), STATUS_CONFLICT);
    ck_assert_int_eq(next.found, IDEM_REPLAY);
    free_answer(&next);
}
END_TEST

/* The daemon was killed between hold and settlement: nothing was charged, so the key is free. */
START_TEST(test_after_a_kill_the_key_is_free)
{
    struct idem first = idem_of("k", "a"), next = first;
    struct ledger_hold h;
    ck_assert_int_eq(hold(&h, rich, &first), STATUS_OK);
    fixture_close(&f); /* with an open hold, as a kill leaves it */
    fixture_open(&f);
    ck_assert_int_eq(hold(&h, rich, &next), STATUS_OK);
    settle(&h, OUTCOME_OK, &next, "{}");
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_eq(again("k", "a", &next), IDEM_REPLAY);
    free_answer(&next);
}
END_TEST

static void keep_one(const char *key, const char *answer)
{
    struct idem i = idem_of(key, key);
    struct ledger_hold h;
    ck_assert_int_eq(hold(&h, rich, &i), STATUS_OK);
    settle(&h, OUTCOME_OK, &i, answer);
}

START_TEST(test_answers_go_first_and_keys_when_they_are_old)
{
    struct idem next;
    keep_one("k", "{}");
    f.wall_us += DAY_US + 1000000;
    fixture_request(&f, rich, 1, 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM idempotency_answer"), 0);
    ck_assert_int_eq(again("k", "k", &next), IDEM_GONE);
    f.wall_us += 33 * DAY_US;
    fixture_request(&f, rich, 1, 1);
    ck_assert_int_eq(again("k", "k", &next), IDEM_GONE);
    f.wall_us += DAY_US;
    fixture_request(&f, rich, 1, 1);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM idempotency"), 0);
    keep_one("k", "{}");
}
END_TEST

/* Never more than a batch at once, and batch after batch until all are gone. */
START_TEST(test_many_old_keys_go_in_small_batches)
{
    char key[16];
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i);
        keep_one(key, "{}");
    }
    f.wall_us += 36 * DAY_US;
    int64_t left = 200;
    for (int batch = 0; left > 0; batch++) {
        ck_assert_int_lt(batch, 8);
        struct ledger_hold h = fixture_hold_of(&f, rich, 0);
        ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
        struct ledger_settle s = fixture_settle_of(&h, 0, 0);
        ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
        int64_t now = fixture_int(&f, "SELECT count(*) FROM idempotency");
        ck_assert_int_le(left - now, 2 * 64);
        left = now;
    }
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM idempotency_answer"), 0);
}
END_TEST

START_TEST(test_kept_answers_are_bounded_together)
{
    struct idem next;
    char key[16];
    fixture_close(&f);
    f.idem.answers_bytes_max = 100;
    fixture_open(&f);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%d", i);
        keep_one(key, "0123456789");
        ck_assert_int_le(fixture_int(&f, "SELECT sum(length(body)) FROM idempotency_answer"), 100);
    }
    ck_assert_int_eq(again("k39", "k39", &next), IDEM_REPLAY);
    free_answer(&next);
    ck_assert_int_eq(again("k0", "k0", &next), IDEM_GONE);
    char large[102];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    keep_one("large", large);
    ck_assert_int_eq(again("large", "large", &next), IDEM_GONE);
}
END_TEST

Suite *idem_suite(void)
{
    Suite *s = suite_create("idem");
    TCase *t = tcase_create("keys");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_a_key_is_charged_once);
    tcase_add_test(t, test_what_belongs_to_the_answer_is_kept);
    tcase_add_test(t, test_a_key_is_its_projects);
    tcase_add_loop_test(t, test_a_voided_request_gives_its_key_back, 0,
                        sizeof voided / sizeof voided[0]);
    tcase_add_test(t, test_a_refused_hold_takes_no_key);
    tcase_add_test(t, test_a_replay_needs_no_budget);
    tcase_add_test(t, test_after_a_kill_the_key_is_free);
    tcase_add_test(t, test_answers_go_first_and_keys_when_they_are_old);
    tcase_add_test(t, test_many_old_keys_go_in_small_batches);
    tcase_add_test(t, test_kept_answers_are_bounded_together);
    suite_add_tcase(s, t);
    return s;
}
