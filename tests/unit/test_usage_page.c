/* tests/unit/test_usage_page.c -- buckets of usage and costs: which kind counts what, pages
 * that are full, numbers as they are written. */
#include "base/cleanup.h"
#include "billing/period.h"
#include "billing/rollup.h"
#include "billing/usage_page.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include "gen/unit_suites.h"

#define FIRST (FIXTURE_NOW_US / DAY_US * DAY_US)

static struct fixture f;
static int64_t project;

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    project = fixture_project(&f, "acme", 100000 * MONEY_ATOMS_PER_UNIT, "month");
    fixture_request(&f, project, 1000, 10); /* makes the period */
    fixture_close(&f);
    fixture_tamper(&f, "DELETE FROM usage_rollup; INSERT INTO name (id, name)"
                       " VALUES (11, 'base/ear'), (12, 'base/sort')");
}

static void teardown(void)
{
    fixture_free(&f);
}

/* `rows` requests of as many keys, each of so much of the meter, on the day. */
static void used_at(enum endpoint endpoint, const char *tier, int day, int rows, int model,
                    enum meter meter, int64_t qty, int64_t atoms, int64_t covered)
{
    char sql[600];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < %d)"
             " INSERT INTO usage_rollup SELECT %lld, %lld, n, %d, %d, 1, 0, 1, '%s', '%s',"
             " %d, %lld, 1, %lld, %lld FROM k",
             rows, (long long)(FIRST + day * DAY_US), (long long)project, model, (int)meter,
             endpoint_name(endpoint), tier, qty > ROLLUP_LONG_CONTEXT, (long long)qty,
             (long long)atoms, (long long)covered);
    fixture_tamper(&f, sql);
}

static void used(enum endpoint endpoint, int day, int rows, int model, enum meter meter,
                 int64_t qty, int64_t atoms, int64_t covered)
{
    used_at(endpoint, "standard", day, rows, model, meter, qty, atoms, covered);
}

static struct usage_page_query query_of(enum usage_kind kind, unsigned group)
{
    return (struct usage_page_query){ .project = project,
                                      .kind = kind,
                                      .group = group,
                                      .first_us = FIRST,
                                      .to_us = FIRST + 3 * DAY_US,
                                      .width_us = DAY_US,
                                      .buckets = 31,
                                      .minor_digits = 2 };
}

static int64_t requests_of(enum usage_kind kind)
{
    const struct usage_page_query q = query_of(kind, 0);
    AUTO(free_ptr) char *text = fixture_page(&f, &q, STATUS_OK);
    AUTO(json_decref_ptr) json_t *page = json_loads(text, 0, NULL);
    int64_t sum = 0;
    size_t b, i;
    json_t *bucket, *result;
    ck_assert_uint_eq(json_array_size(json_object_get(page, "data")), 3);
    json_array_foreach (json_object_get(page, "data"), b, bucket)
        json_array_foreach (json_object_get(bucket, "results"), i, result)
            sum += json_integer_value(json_object_get(result, "num_model_requests"));
    return sum;
}

/* Whatever the models are for: base/chat also embeds here. */
START_TEST(test_every_request_is_of_the_kind_of_its_endpoint)
{
    for (unsigned e = 0; e < ENDPOINT_COUNT; e++)
        used((enum endpoint)e, (int)e % 3, 1 << e, 1, METER_INPUT_UNCACHED, 5, 1, 0);
    int64_t expected[USAGE_KIND_COUNT + 1] = { 0 };
    for (unsigned e = 0; e < ENDPOINT_COUNT; e++)
        expected[usage_kind_of((enum endpoint)e)] += 1 << e;
    for (unsigned kind = 0; kind < USAGE_KIND_COUNT; kind++)
        ck_assert_int_eq(requests_of((enum usage_kind)kind), expected[kind]);
    ck_assert_int_eq(expected[USAGE_TRANSCRIPTIONS],
                     (1 << ENDPOINT_TRANSCRIPTION) + (1 << ENDPOINT_TRANSLATION));
    ck_assert_int_eq(expected[USAGE_KIND_COUNT], (1 << ENDPOINT_INFER) + (1 << ENDPOINT_RERANK));
    ck_assert_int_eq(usage_kind_of(ENDPOINT_CHAT), USAGE_COMPLETIONS);
}
END_TEST

START_TEST(test_numbers_are_exact)
{
    used(ENDPOINT_TRANSCRIPTION, 0, 1, 11, METER_AUDIO_MS, 1999, INT64_C(12345678901), 1);
    const struct usage_page_query usage = query_of(USAGE_TRANSCRIPTIONS, 0);
    const struct usage_page_query costs = query_of(USAGE_COSTS, GROUP_METER);
    AUTO(free_ptr) char *seconds = fixture_page(&f, &usage, STATUS_OK);
    AUTO(free_ptr) char *money = fixture_page(&f, &costs, STATUS_OK);
    ck_assert_ptr_nonnull(strstr(seconds, "\"seconds\":1,\"x_milliseconds\":1999,"));
    ck_assert_ptr_nonnull(strstr(money, "{\"value\":1.23456789,\"currency\":\"usd\"}"));
    ck_assert_ptr_nonnull(strstr(money, "\"x_covered\":\"0.0000000001\""));
    ck_assert_ptr_nonnull(
        strstr(money, "\"quantity\":1.999,\"quantity_unit\":\"duration_seconds\""));
    ck_assert_ptr_nonnull(strstr(money, "\"line_item\":\"base/ear, audio_ms\""));
}
END_TEST

START_TEST(test_a_bucket_with_too_many_groups_is_refused)
{
    used(ENDPOINT_CHAT, 0, 5001, 1, METER_INPUT_UNCACHED, 5, 1, 0);
    const struct usage_page_query by_key = query_of(USAGE_COMPLETIONS, GROUP_KEY);
    free(fixture_page(&f, &by_key, STATUS_TOO_LARGE_FOR_LIMIT));
    ck_assert_int_eq(requests_of(USAGE_COMPLETIONS), 5001);
}
END_TEST

/* It ends behind the bucket that filled it, and the next one goes on there. */
START_TEST(test_a_full_page_ends_early)
{
    for (int day = 0; day < 3; day++)
        used(ENDPOINT_CHAT, day, 4000, 1, METER_INPUT_UNCACHED, 5, 1, 0);
    struct usage_page_query q = query_of(USAGE_COMPLETIONS, GROUP_KEY);
    size_t results = 0;
    for (int pages = 0; q.first_us; pages++) {
        ck_assert_int_lt(pages, 3);
        AUTO(free_ptr) char *text = fixture_page(&f, &q, STATUS_OK);
        AUTO(json_decref_ptr) json_t *page = json_loads(text, 0, NULL);
        const json_t *data = json_object_get(page, "data");
        ck_assert_uint_eq(json_array_size(data), 1);
        results += json_array_size(json_object_get(json_array_get(data, 0), "results"));
        const char *next = json_string_value(json_object_get(page, "next_page"));
        ck_assert(json_is_true(json_object_get(page, "has_more")) == (next != NULL));
        q.first_us = next ? strtoll(next + strlen("page_"), NULL, 10) * 1000000 : 0;
    }
    ck_assert_uint_eq(results, 12000);
}
END_TEST

/* The number behind the name, summed over all results of all buckets. */
static int64_t sum_of(const struct usage_page_query *q, const char *name)
{
    AUTO(free_ptr) char *text = fixture_page(&f, q, STATUS_OK);
    char key[64];
    int64_t sum = 0;
    int len = snprintf(key, sizeof key, "\"%s\":", name);
    for (const char *at = text; (at = strstr(at, key)); at += len)
        sum += strtoll(at + len, NULL, 10);
    return sum;
}

/* Invariant I24: equal totals, by whatever they are grouped. */
START_TEST(test_both_shapes_tell_the_same)
{
    for (unsigned m = 0; m < METER_COUNT; m++)
        used(m % 2 ? ENDPOINT_CHAT : ENDPOINT_COMPLETIONS, (int)m % 3, 2, (int)m % 2 + 1,
             (enum meter)m, 1000 + 17 * m, 30 + m, m);
    for (unsigned group = 0; group < 64; group += 5) {
        struct usage_page_query ours = query_of(USAGE_COMPLETIONS, group & ~(unsigned)GROUP_METER);
        struct usage_page_query theirs = ours;
        theirs.shape = SHAPE_ANTHROPIC;
        int64_t written = sum_of(&theirs, "ephemeral_1h_input_tokens") +
                          sum_of(&theirs, "ephemeral_5m_input_tokens");
        ck_assert_int_eq(sum_of(&ours, "input_cache_write_tokens"), written);
        ck_assert_int_eq(sum_of(&ours, "input_cached_tokens"),
                         sum_of(&theirs, "cache_read_input_tokens"));
        ck_assert_int_eq(sum_of(&ours, "input_tokens"),
                         sum_of(&theirs, "uncached_input_tokens") + written +
                             sum_of(&theirs, "cache_read_input_tokens"));
        ck_assert_int_eq(sum_of(&ours, "output_tokens"), sum_of(&theirs, "output_tokens"));
        ck_assert_int_eq(sum_of(&ours, "num_model_requests"), sum_of(&theirs, "x_requests"));
    }
}
END_TEST

START_TEST(test_groups_of_tier_and_context)
{
    used(ENDPOINT_CHAT, 0, 1, 1, METER_INPUT_UNCACHED, 200000, 1, 0);
    used_at(ENDPOINT_CHAT, "flex", 0, 2, 1, METER_INPUT_UNCACHED, 200001, 1, 0);
    struct usage_page_query q = query_of(USAGE_COMPLETIONS, GROUP_TIER | GROUP_CONTEXT);
    q.shape = SHAPE_ANTHROPIC;
    AUTO(free_ptr) char *all = fixture_page(&f, &q, STATUS_OK);
    ck_assert_ptr_nonnull(
        strstr(all, "\"service_tier\":\"standard\",\"context_window\":\"0-200k\""));
    ck_assert_ptr_nonnull(strstr(all, "\"service_tier\":\"flex\",\"context_window\":\"200k-1M\""));
    q.tiers = "[\"flex\"]";
    ck_assert_int_eq(sum_of(&q, "x_requests"), 2);
    q.tiers = NULL;
    q.contexts = "[\"0-200k\"]";
    ck_assert_int_eq(sum_of(&q, "x_requests"), 1);
}
END_TEST

START_TEST(test_cents_are_exact)
{
    used(ENDPOINT_TRANSCRIPTION, 0, 1, 11, METER_AUDIO_MS, 1999, INT64_C(12345678901), 1);
    used(ENDPOINT_CHAT, 1, 1, 1, METER_INPUT_CACHE_WRITE_1H, 7, 5, 0);
    struct usage_page_query q = query_of(USAGE_COSTS, GROUP_METER);
    q.shape = SHAPE_ANTHROPIC;
    AUTO(free_ptr) char *cents = fixture_page(&f, &q, STATUS_OK);
    ck_assert_ptr_nonnull(strstr(cents, "\"currency\":\"USD\",\"amount\":\"123.45678900\""));
    ck_assert_ptr_nonnull(
        strstr(cents, "\"description\":\"base/ear, audio_ms\",\"cost_type\":null"));
    ck_assert_ptr_nonnull(strstr(cents, "\"amount\":\"0.00000005\""));
    ck_assert_ptr_nonnull(
        strstr(cents, "\"token_type\":\"cache_creation.ephemeral_1h_input_tokens\""));
    q.minor_digits = 0;
    AUTO(free_ptr) char *units = fixture_page(&f, &q, STATUS_OK);
    ck_assert_ptr_nonnull(strstr(units, "\"amount\":\"1.2345678900\""));
}
END_TEST

START_TEST(test_names_of_kinds)
{
    ck_assert_int_eq(usage_kind_find("completions"), USAGE_COMPLETIONS);
    ck_assert_int_eq(usage_kind_find("audio_transcriptions"), USAGE_TRANSCRIPTIONS);
    ck_assert_int_eq(usage_kind_find("vector_stores"), USAGE_KIND_COUNT);
    ck_assert_int_eq(usage_kind_find(""), USAGE_KIND_COUNT);
}
END_TEST

Suite *usage_page_suite(void)
{
    Suite *s = suite_create("usage_page");
    TCase *t = tcase_create("usage_page");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_every_request_is_of_the_kind_of_its_endpoint);
    tcase_add_test(t, test_both_shapes_tell_the_same);
    tcase_add_test(t, test_groups_of_tier_and_context);
    tcase_add_test(t, test_cents_are_exact);
    tcase_add_test(t, test_numbers_are_exact);
    tcase_add_test(t, test_a_bucket_with_too_many_groups_is_refused);
    tcase_add_test(t, test_a_full_page_ends_early);
    tcase_add_test(t, test_names_of_kinds);
    suite_add_tcase(s, t);
    return s;
}
