/* tests/unit/test_line_requests.c -- the requests behind a line, page by page: each of them once, however many
 * of others lie between, and never another's. */
#include "base/cleanup.h"
#include "billing/decimal.h"
#include "billing/document.h"
#include "billing/line_requests.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <string.h>
#include "gen/unit_suites.h"

#define DAY_US INT64_C(86400000000)

enum { OTHERS = 100000 };

static struct fixture f;
static int64_t acme, other;
static char number[DOCUMENT_NUMBER_BYTES];

static void issue_november(void)
{
    f.wall_us += 20 * DAY_US;
    fixture_invoice(&f, number);
}

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    acme = fixture_project(&f, "acme", 100 * MONEY_ATOMS_PER_UNIT, "month");
    other = fixture_project(&f, "other", 100 * MONEY_ATOMS_PER_UNIT, "month");
}

static void teardown(void)
{
    fixture_free(&f);
}

static json_t *page(int64_t line, const char *after, int64_t limit, enum status expected)
{
    char err[256];
    struct db *db = fixture_reader(&f);
    json_t *list = NULL;
    const struct line_requests_query q = {
        .number = number, .line = line, .after = after, .limit = limit, .state_dir = f.dir
    };
    ck_assert_int_eq(line_requests(db, &q, &list, err), expected);
    ck_assert(expected == STATUS_OK || *err);
    db_close(db);
    return list;
}

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* The ids of a line, over all pages of so many rows. */
static size_t walk(int64_t limit, rid_t expected[], size_t most)
{
    char after[RID_TEXT_BYTES] = "", id[RID_TEXT_BYTES];
    size_t count = 0, pages = 0, i;
    bool more = true;
    json_t *row;
    while (more) {
        AUTO(json_decref_ptr) json_t *list = page(1, *after ? after : NULL, limit, STATUS_OK);
        json_array_foreach (json_object_get(list, "data"), i, row) {
            ck_assert_uint_lt(count, most);
            ck_assert_str_eq(text(row, "request"), rid_text(expected[count++], id));
        }
        ck_assert_int_le((int64_t)json_array_size(json_object_get(list, "data")), limit);
        more = json_is_true(json_object_get(list, "has_more"));
        snprintf(after, sizeof after, "%s", more ? text(list, "next_page") : "");
        pages++;
    }
    ck_assert_uint_eq(count, most);
    return pages;
}

START_TEST(test_pages)
{
    rid_t mine[7];
    for (int i = 0; i < 7; i++) {
        mine[i] = fixture_request(&f, acme, 10 + (uint64_t)i, 5);
        fixture_request(&f, other, 1000, 1000);
    }
    issue_november();
    for (int64_t limit = 1; limit < 9; limit++)
        ck_assert_uint_eq(walk(limit, mine, 7), (size_t)((7 + limit - 1) / limit));
    AUTO(json_decref_ptr) json_t *all = page(0, NULL, 1000, STATUS_OK);
    ck_assert_uint_eq(json_array_size(json_object_get(all, "lines")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(all, "data")), 14);
    AUTO(json_decref_ptr) json_t *whole = page(0, NULL, 1, STATUS_OK); /* of the last one */
    ck_assert_uint_eq(json_array_size(json_object_get(whole, "data")), 2);
    ck_assert_str_eq(text(json_array_get(json_object_get(all, "data"), 0), "amount"),
                     "0.0000250000");
    ck_assert_ptr_null(page(3, NULL, 10, STATUS_BAD_FIELD));
    ck_assert_ptr_null(page(1, "req_?", 10, STATUS_BAD_FIELD));
}
END_TEST

/* A page looks at no more than 100,000 requests, of whomever. */
START_TEST(test_others_between)
{
    rid_t mine[2];
    mine[0] = fixture_request(&f, acme, 10, 5);
    fixture_request(&f, other, 10, 5);
    f.next_rid += OTHERS;
    mine[1] = fixture_request(&f, acme, 10, 5);
    issue_november();
    fixture_close(&f);
    fixture_tamper(
        &f, "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            " WHERE i < 99999) SELECT i FROM n;"
            "INSERT INTO request_open SELECT o.rid + n.i, project, key, model, endpoint,"
            " price_version, estimate_in, max_out, n, hold_atoms, accepted_us, boot"
            " FROM n, request_open o WHERE o.rid = 1001;"
            "INSERT INTO settlement SELECT s.rid + n.i, settled_us, project, key, model,"
            " model_served, backend, endpoint, price_version, outcome, evidence, amount_atoms,"
            " lines, first_byte_us, duration_us, http_status, draws FROM n, settlement s"
            " WHERE s.rid = 1001");
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), OTHERS + 2);
    ck_assert_uint_eq(walk(100, mine, 2), 2);
}
END_TEST

START_TEST(test_csv)
{
    fixture_request(&f, acme, 10, 5);
    issue_november();
    AUTO(json_decref_ptr) json_t *list = page(1, NULL, 10, STATUS_OK);
    AUTO(free_ptr) char *csv = line_requests_csv(list);
    ck_assert_ptr_nonnull(strstr(csv, "\"request\",\"settled_at\",\"project\""));
    ck_assert_ptr_nonnull(strstr(csv, "\r\n\"req_"));
    ck_assert_ptr_nonnull(strstr(csv, "\"2.50 per 1000000\",\"1\",\"list\""));
    ck_assert_ptr_nonnull(strstr(csv, ",\"10\",\"0.0000250000\"\r\n"));
}
END_TEST

Suite *line_requests_suite(void)
{
    Suite *s = suite_create("line_requests");
    TCase *t = tcase_create("line_requests");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_pages);
    tcase_add_test(t, test_others_between);
    tcase_add_test(t, test_csv);
    suite_add_tcase(s, t);
    return s;
}
