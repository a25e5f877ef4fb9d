/* tests/unit/test_usage_page.c -- buckets of usage and costs: which kind counts what, pages
 * that are full, numbers as they are written. */
#include "base/cleanup.h"
#include "billing/period.h"
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

/* base/chat also embeds; domain/vision (of the fixture) has left the catalog. */
static const struct catalog_model models[] = {
    { .id = "base/chat", .short_name = "chat", .capabilities = CAP_CHAT | CAP_EMBEDDINGS },
    { .id = "base/ear", .short_name = "ear", .capabilities = CAP_TRANSCRIPTION },
    { .id = "base/sort", .short_name = "sort", .capabilities = CAP_RERANK },
};
static const struct catalog catalog = { .models = models, .model_count = 3 };

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
static void used(int day, int rows, int model, enum meter meter, int64_t qty, int64_t atoms,
                 int64_t covered)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < %d)"
             " INSERT INTO usage_rollup SELECT %lld, %lld, n, %d, %d, 1, 0, 1, %lld, 1, %lld, %lld"
             " FROM k",
             rows, (long long)(FIRST + day * DAY_US), (long long)project, model, (int)meter,
             (long long)qty, (long long)atoms, (long long)covered);
    fixture_tamper(&f, sql);
}

static struct usage_page_query query_of(enum usage_kind kind, unsigned group)
{
    return (struct usage_page_query){ .catalog = &catalog,
                                      .project = project,
                                      .kind = kind,
                                      .group = group,
                                      .first_us = FIRST,
                                      .to_us = FIRST + 3 * DAY_US,
                                      .width_us = DAY_US,
                                      .buckets = 31 };
}

static char *text_of(const struct usage_page_query *q, enum status expected)
{
    struct db *db = fixture_reader(&f);
    struct buf out;
    buf_init(&out, USAGE_PAGE_BYTES);
    ck_assert_int_eq(usage_page(db, q, &out), expected);
    db_close(db);
    char *text = buf_take(&out, NULL);
    buf_free(&out);
    return text;
}

static int64_t requests_of(enum usage_kind kind)
{
    const struct usage_page_query q = query_of(kind, 0);
    AUTO(free_ptr) char *text = text_of(&q, STATUS_OK);
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

START_TEST(test_every_request_is_of_one_kind)
{
    used(0, 3, 1, METER_INPUT_UNCACHED, 5, 1, 0);
    used(1, 2, 2, METER_IMAGES, 1, 1, 0);
    used(2, 4, 11, METER_AUDIO_MS, 1, 1, 0);
    used(2, 7, 12, METER_REQUESTS, 1, 1, 0);
    static const int64_t expected[USAGE_KIND_COUNT] = {
        [USAGE_COMPLETIONS] = 3 + 2, [USAGE_TRANSCRIPTIONS] = 4
    };
    for (unsigned kind = 0; kind < USAGE_KIND_COUNT; kind++)
        ck_assert_int_eq(requests_of((enum usage_kind)kind), expected[kind]);
}
END_TEST

START_TEST(test_numbers_are_exact)
{
    used(0, 1, 11, METER_AUDIO_MS, 1999, INT64_C(12345678901), 1);
    const struct usage_page_query usage = query_of(USAGE_TRANSCRIPTIONS, 0);
    const struct usage_page_query costs = query_of(USAGE_COSTS, GROUP_METER);
    AUTO(free_ptr) char *seconds = text_of(&usage, STATUS_OK);
    AUTO(free_ptr) char *money = text_of(&costs, STATUS_OK);
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
    used(0, 5001, 1, METER_INPUT_UNCACHED, 5, 1, 0);
    const struct usage_page_query by_key = query_of(USAGE_COMPLETIONS, GROUP_KEY);
    free(text_of(&by_key, STATUS_TOO_LARGE_FOR_LIMIT));
    ck_assert_int_eq(requests_of(USAGE_COMPLETIONS), 5001);
}
END_TEST

/* It ends behind the bucket that filled it, and the next one goes on there. */
START_TEST(test_a_full_page_ends_early)
{
    for (int day = 0; day < 3; day++)
        used(day, 4000, 1, METER_INPUT_UNCACHED, 5, 1, 0);
    struct usage_page_query q = query_of(USAGE_COMPLETIONS, GROUP_KEY);
    size_t results = 0;
    for (int pages = 0; q.first_us; pages++) {
        ck_assert_int_lt(pages, 3);
        AUTO(free_ptr) char *text = text_of(&q, STATUS_OK);
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
    tcase_add_test(t, test_every_request_is_of_one_kind);
    tcase_add_test(t, test_numbers_are_exact);
    tcase_add_test(t, test_a_bucket_with_too_many_groups_is_refused);
    tcase_add_test(t, test_a_full_page_ends_early);
    tcase_add_test(t, test_names_of_kinds);
    suite_add_tcase(s, t);
    return s;
}
