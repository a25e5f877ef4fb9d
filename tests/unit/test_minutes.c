/* tests/unit/test_minutes.c -- usage by the minute is of the settlements themselves and comes to what the
 * hours say, whatever was settled late, over a restart, or under a clock that went back. */
#include "base/cleanup.h"
#include "billing/minutes.h"
#include "billing/period.h"
#include "billing/usage_page.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gen/unit_suites.h"

#define FIRST (FIXTURE_NOW_US / HOUR_US * HOUR_US)

enum { HOURS = 4, REQUESTS = 240, LATE = 12 };

static struct fixture f;
static int64_t own, other;
static unsigned seed;
static struct ledger_hold late[LATE]; /* settled long after they came, or by the next start */

static unsigned any(unsigned n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % n;
}

static struct ledger_hold hold(void)
{
    static const enum endpoint endpoints[] = { ENDPOINT_CHAT, ENDPOINT_COMPLETIONS,
                                               ENDPOINT_EMBEDDINGS };
    struct ledger_hold h = fixture_hold_of(&f, any(4) ? own : other, INT64_C(50000000000));
    rid_t now = rid_at(f.wall_us);
    h.rid = f.next_rid = now > f.next_rid ? now : f.next_rid + 1;
    h.endpoint = endpoints[any(3)];
    h.key = 1 + any(2);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    return h;
}

static void settle(const struct ledger_hold *h)
{
    static const char *const facts[] = { NULL, "{\"context\":900000,\"service_tier\":\"flex\"}",
                                         "{\"context\":900000,\"service_tier\":\"priority\"}" };
    struct ledger_settle s = fixture_settle_of(h, any(8) ? 1 + any(60000) * 5 : 0, any(50));
    s.facts = s.line_count ? facts[any(3)] : NULL;
    if (!s.line_count)
        s.outcome = OUTCOME_FAILED_PRE;
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
}

static void live(void)
{
    for (int i = 0; i < REQUESTS; i++) {
        f.wall_us += any(2 * HOURS * 3600 / REQUESTS) * INT64_C(1000000);
        if (i % (REQUESTS / LATE) == 0)
            late[i / (REQUESTS / LATE)] = hold();
        struct ledger_hold h = hold();
        settle(&h);
        if (i == REQUESTS / 3)
            f.wall_us -= 7 * MINUTE_US;
        if (i % 50 == 49) {
            fixture_close(&f);
            fixture_open(&f); /* settles what is still open */
        }
        if (i % 50 == 30 && i > 100)
            settle(&late[i / (REQUESTS / LATE)]);
    }
}

static void setup(void)
{
    f = (struct fixture){ .wall_us = FIRST + MINUTE_US };
    snprintf(f.dir, sizeof f.dir, "/tmp/maasgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f.dir));
    fixture_open(&f);
    fixture_catalog(&f);
    own = fixture_project(&f, "own", MONEY_ATOMS_MAX, "month");
    other = fixture_project(&f, "other", MONEY_ATOMS_MAX, "month");
    live();
    fixture_close(&f);
}

static void teardown(void)
{
    fixture_free(&f);
}

/* ---- pages --------------------------------------------------------------------------------- */

/* All integers of `from`, deep, added to those of `into`; what else it says names the group. */
static void add(json_t *into, json_t *from)
{
    const char *name;
    json_t *value;
    json_object_foreach (from, name, value) {
        json_t *sum = json_object_get(into, name);
        if (json_is_object(value) && sum)
            add(sum, value);
        else if (json_is_integer(value) && sum)
            json_integer_set(sum, json_integer_value(sum) + json_integer_value(value));
        else if (!sum)
            json_object_set_new(into, name, json_deep_copy(value));
    }
}

static void add_result(json_t *sums, int64_t hour, json_t *result)
{
    static const char *const names[] = { "project_id",   "api_key_id",   "model",
                                         "workspace_id", "service_tier", "context_window",
                                         "inference_geo" };
    char key[512];
    int len = snprintf(key, sizeof key, "%lld", (long long)hour);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *name = json_string_value(json_object_get(result, names[i]));
        len += snprintf(key + len, sizeof key - (size_t)len, "|%s", name ? name : "-");
    }
    json_t *group = json_object_get(sums, key);
    if (group)
        add(group, result);
    else
        json_object_set(sums, key, result);
}

/* {"HOUR|group": sums} of all pages; in Anthropic's shape the hour is not told by a number, so 0. */
static json_t *sums_of(struct usage_page_query q)
{
    json_t *sums = json_object(), *bucket, *result;
    size_t b, i;
    for (bool more = true; more;) {
        AUTO(free_ptr) char *text = fixture_page(&f, &q, STATUS_OK);
        AUTO(json_decref_ptr) json_t *page = json_loads(text, 0, NULL);
        ck_assert_msg(page && json_array_size(json_object_get(page, "data")) > 0, "%s", text);
        json_array_foreach (json_object_get(page, "data"), b, bucket)
            json_array_foreach (json_object_get(bucket, "results"), i, result)
                add_result(sums, json_integer_value(json_object_get(bucket, "start_time")) / 3600,
                           result);
        more = json_is_true(json_object_get(page, "has_more"));
        const char *next = json_string_value(json_object_get(page, "next_page"));
        q.first_us = more ? atoll(next + 5) * 1000000 : 0;
    }
    return sums;
}

static struct usage_page_query query_of(int64_t width_us, int64_t buckets)
{
    return (struct usage_page_query){ .project = own,
                                      .kind = USAGE_COMPLETIONS,
                                      .first_us = FIRST,
                                      .to_us = FIRST + 10 * HOUR_US,
                                      .width_us = width_us,
                                      .buckets = buckets };
}

START_TEST(test_minutes_come_to_their_hours)
{
    static const unsigned groups[] = { 0, GROUP_MODEL, GROUP_PROJECT | GROUP_KEY, GROUP_TIER,
                                       GROUP_MODEL | GROUP_KEY | GROUP_TIER | GROUP_CONTEXT };
    static const int64_t pages[] = { 1440, 60, 7 };
    for (unsigned n = 0; n < sizeof groups / sizeof *groups * 3 * 2; n++) {
        struct usage_page_query hours = query_of(HOUR_US, 168);
        hours.group = groups[n / 6];
        hours.shape = n % 2 ? SHAPE_ANTHROPIC : SHAPE_OPENAI;
        hours.kind = n % 3 == 1 && !(n % 2) ? USAGE_EMBEDDINGS : USAGE_COMPLETIONS;
        hours.models = n % 5 == 1 ? "[\"base/chat\"]" : NULL;
        hours.tiers = n % 5 == 2 ? "[\"flex\"]" : NULL;
        hours.contexts = n % 5 == 3 ? "[\"200k-1M\"]" : NULL;
        struct usage_page_query minutes = hours;
        minutes.width_us = MINUTE_US;
        minutes.buckets = pages[n % 3];
        AUTO(json_decref_ptr) json_t *whole = sums_of(hours);
        AUTO(json_decref_ptr) json_t *parts = sums_of(minutes);
        ck_assert_msg(json_object_size(whole) > 0, "%u: nothing", n);
        ck_assert_msg(json_equal(whole, parts), "%u: %s\n%s", n, json_dumps(whole, 0),
                      json_dumps(parts, 0));
    }
}
END_TEST

/* Late ones lie far from their minute, and each row says so. */
START_TEST(test_a_minute_knows_its_ids)
{
    fixture_audit_clean(&f);
    ck_assert_int_ge(fixture_int(&f, "SELECT count(*) FROM settled_minute WHERE from_rid <"
                                     " (minute_us / 1000 - 1704067200000 - 900000) << 22"),
                     3);
    ck_assert_int_eq(
        fixture_int(&f, "SELECT count(*) FROM settled_minute"),
        fixture_int(&f, "SELECT count(DISTINCT settled_us / 60000000) FROM settlement"));
}
END_TEST

static const char *const damage[] = {
    "DELETE FROM settled_minute WHERE minute_us = (SELECT min(minute_us) FROM settled_minute)",
    "UPDATE settled_minute SET from_rid = from_rid + 1 WHERE minute_us = (SELECT min(minute_us) FROM settled_minute)",
    "UPDATE settled_minute SET to_rid = from_rid + 1",
};

START_TEST(test_damage_is_found)
{
    fixture_tamper(&f, damage[_i]);
    ck_assert_int_gt(fixture_audit_problems(&f), 0);
}
END_TEST

/* More settlements than a page may look at: it is shorter; in one minute: it is refused. */
static void fill(int minutes)
{
    char sql[800];
    snprintf(
        sql, sizeof sql,
        "WITH RECURSIVE k(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM k WHERE n < %d)"
        " INSERT INTO settlement SELECT rid + 1 + n, %lld + n %% %d * 60000000, project, key, model,"
        " model_served, backend, endpoint, price_version, outcome, evidence, 0, '[]', NULL, 1, 200,"
        " NULL FROM k, (SELECT * FROM settlement ORDER BY rid DESC LIMIT 1);"
        " INSERT OR REPLACE INTO settled_minute SELECT settled_us - settled_us %% 60000000, min(rid),"
        " max(rid) + 1 FROM settlement GROUP BY 1",
        USAGE_ROWS_MAX, (long long)(FIRST + 9 * HOUR_US), minutes);
    fixture_tamper(&f, sql);
}

START_TEST(test_a_page_ends_early)
{
    fill(2);
    struct usage_page_query q = query_of(MINUTE_US, 1440);
    q.first_us = FIRST + 9 * HOUR_US - 30 * MINUTE_US;
    AUTO(free_ptr) char *text = fixture_page(&f, &q, STATUS_OK);
    AUTO(json_decref_ptr) json_t *page = json_loads(text, 0, NULL);
    size_t count = json_array_size(json_object_get(page, "data"));
    ck_assert_uint_gt(count, 0);
    ck_assert_uint_lt(count, 90);
    ck_assert(json_is_true(json_object_get(page, "has_more")));
    q.first_us = FIRST + 9 * HOUR_US; /* ids of both minutes lie among one another */
    free(fixture_page(&f, &q, STATUS_TOO_LARGE_FOR_LIMIT));
}
END_TEST

Suite *minutes_suite(void)
{
    Suite *s = suite_create("minutes");
    TCase *t = tcase_create("minutes");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_minutes_come_to_their_hours);
    tcase_add_test(t, test_a_minute_knows_its_ids);
    tcase_add_loop_test(t, test_damage_is_found, 0, sizeof damage / sizeof *damage);
    tcase_add_test(t, test_a_page_ends_early);
    suite_add_tcase(s, t);
    return s;
}
