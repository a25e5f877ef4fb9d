/* tests/unit/test_report.c -- usage and invoices: vectors V8, V8b, V9b, V18, numbers,
 * freezing, empty months. */
#include "base/cleanup.h"
#include "billing/decimal.h"
#include "billing/period.h"
#include "billing/pricebook.h"
#include "billing/document.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>

#define UNIT    MONEY_ATOMS_PER_UNIT
#define DAYS(n) ((n)*DAY_US)

static struct fixture f;
static int64_t project;
static const struct seller seller = {
    .name = "MaaS Ltd",
    .address = "1 Road",
    .tax_id = "T-1",
    .series = "MG",
    .tax_basis_points = 600,
    .minor_digits = 2,
};

static void setup(void)
{
    fixture_init(&f);
    fixture_catalog(&f);
    project = fixture_project(&f, "acme", 100000 * UNIT, "month");
}

static void teardown(void)
{
    fixture_audit_clean(&f);
    fixture_free(&f);
}

/* ---- periods and texts --------------------------------------------------------------------- */

static const struct {
    const char *text;
    bool ok;
    int64_t from_s, to_s;
} month_cases[] = {
    { "2026-11", true, 1793491200, 1796083200 },
    { "2024-02", true, 1706745600, 1709251200 }, /* a leap year */
    { "2026-12", true, 1796083200, 1798761600 },
    { "2026-13", false, 0, 0 },
    { "2026-00", false, 0, 0 },
    { "1969-12", false, 0, 0 },
    { "2026-1", false, 0, 0 },
    { "2026-111", false, 0, 0 },
    { "2026/11", false, 0, 0 },
    { "2026-1x", false, 0, 0 },
    { "", false, 0, 0 },
};

START_TEST(test_months)
{
    int64_t from = 0, to = 0;
    ck_assert_int_eq(report_month(month_cases[_i].text, &from, &to), month_cases[_i].ok);
    ck_assert_int_eq(from, month_cases[_i].from_s * 1000000);
    ck_assert_int_eq(to, month_cases[_i].to_s * 1000000);
}
END_TEST

START_TEST(test_decimals)
{
    char text[DECIMAL_TEXT_BYTES * 2];
    int64_t value;
    ck_assert_str_eq(decimal_minor(4100, 2, text), "41.00");
    ck_assert_str_eq(decimal_minor(-5, 2, text), "-0.05");
    ck_assert_str_eq(decimal_minor(7, 0, text), "7");
    ck_assert_str_eq(decimal_minor(INT64_MIN, 3, text), "-9223372036854775.808");
    ck_assert_str_eq(decimal_exact(87550000, text), "0.0087550000");
    ck_assert_str_eq(decimal_price((struct price){ 4000000000, 1000000 }, text),
                     "0.40 per 1000000");
    ck_assert(decimal_parse_minor("41.00", 2, &value) && value == 4100);
    ck_assert(decimal_parse_minor("-0.05", 2, &value) && value == -5);
    ck_assert(decimal_parse_minor("12", 0, &value) && value == 12);
    ck_assert(!decimal_parse_minor("4.1", 2, &value) && !decimal_parse_minor(".10", 2, &value));
    ck_assert(!decimal_parse_minor("1x.00", 2, &value) && !decimal_parse_minor("", 0, &value));
    ck_assert(!decimal_parse_minor("99999999999999999999.00", 2, &value));
    ck_assert(decimal_parse_amount("12", 2, &value) && value == 1200);
    ck_assert(decimal_parse_amount("12.5", 2, &value) && value == 1250);
    ck_assert(decimal_parse_amount("12.500", 2, &value) && value == 1250);
    ck_assert(decimal_parse_amount("12", 0, &value) && value == 12);
    ck_assert(!decimal_parse_amount("12.005", 2, &value) &&
              !decimal_parse_amount("1.5", 0, &value));
    ck_assert(!decimal_parse_amount("-1", 2, &value) && !decimal_parse_amount("1,5", 2, &value));
}
END_TEST

static const struct {
    const char *text;
    int lines;
    bool bad;
} book_cases[] = {
    { "", 0, false },
    { "currency USD book a\nm images 1/1\n", 1, false },
    { "m images 1/1\nm requests 2/3\n", 2, false },
    { "m images 1/1\nm requests 2/0\n", 1, true },
    { "m pictures 1/1\n", 0, true },
    { "m images 1/1", 0, true },
    { "m images -1/1\n", 0, true },
    { "m images 99999999999999999999/1\n", 0, true },
    { "m images 1\n", 0, true },
    { "m\n", 0, true },
};

START_TEST(test_price_books)
{
    const char *text = book_cases[_i].text;
    struct pricebook_line line = { .number = 0 };
    bool bad;
    int lines = 0;
    while (pricebook_next(&text, &line, &bad))
        lines++;
    ck_assert_int_eq(lines, book_cases[_i].lines);
    ck_assert_int_eq(bad, book_cases[_i].bad);
}
END_TEST

/* ---- usage --------------------------------------------------------------------------------- */

static json_t *usage(const struct usage_query *q, enum status expected)
{
    struct db *db = fixture_reader(&f);
    json_t *result = NULL;
    ck_assert_int_eq(report_usage(db, q, &result), expected);
    db_close(db);
    return result;
}

#define TEXT(object, key)   json_string_value(json_object_get(object, key))
#define NUMBER(object, key) json_integer_value(json_object_get(object, key))

START_TEST(test_usage_by_model)
{
    fixture_request(&f, project, 1000, 10);
    fixture_request(&f, project, 500, 0);
    struct usage_query q = { .from_us = f.wall_us - HOUR_US, .to_us = f.wall_us + HOUR_US };
    AUTO(json_decref_ptr) json_t *u = usage(&q, STATUS_OK);
    const json_t *row = json_array_get(json_object_get(u, "data"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(u, "data")), 1);
    ck_assert_str_eq(TEXT(row, "model"), "base/chat");
    ck_assert_int_eq(NUMBER(row, "requests"), 2);
    ck_assert_int_eq(NUMBER(json_object_get(row, "usage"), "input_uncached_tokens"), 1500);
    ck_assert_int_eq(NUMBER(json_object_get(row, "usage"), "output_text_tokens"), 10);
    ck_assert_str_eq(TEXT(row, "amount"), "0.00385");
    ck_assert_str_eq(TEXT(u, "total"), "0.00385");
    ck_assert_str_eq(TEXT(u, "currency"), "USD");
}
END_TEST

START_TEST(test_usage_groups_limits_and_refusals)
{
    int64_t other = fixture_project(&f, "other", UNIT, "month");
    fixture_request(&f, project, 10, 0);
    f.wall_us += DAYS(1);
    fixture_request(&f, other, 10, 0);
    struct usage_query q = { .from_us = f.wall_us - DAYS(3), .to_us = f.wall_us + DAYS(1) };
    static const char *const groups[] = { "project", "day", "key" };
    static const size_t rows[] = { 2, 2, 1 };
    for (unsigned i = 0; i < 3; i++) {
        q.group_by = groups[i];
        AUTO(json_decref_ptr) json_t *u = usage(&q, STATUS_OK);
        ck_assert_uint_eq(json_array_size(json_object_get(u, "data")), rows[i]);
        ck_assert_int_eq(NUMBER(u, "requests"), 2);
        ck_assert_str_eq(TEXT(u, "total"), "0.00005");
    }
    q.group_by = "day";
    q.limit = 1;
    AUTO(json_decref_ptr) json_t *first = usage(&q, STATUS_OK);
    ck_assert_str_eq(TEXT(json_array_get(json_object_get(first, "data"), 0), "day"), "2026-11-15");
    ck_assert(json_is_true(json_object_get(first, "has_more")));
    ck_assert_str_eq(TEXT(first, "total"), "0.00005"); /* of all rows, also those left off */
    q.project = "other";
    AUTO(json_decref_ptr) json_t *one = usage(&q, STATUS_OK);
    ck_assert_int_eq(NUMBER(one, "requests"), 1);
    q.project = "nobody";
    ck_assert_ptr_null(usage(&q, STATUS_NOT_FOUND));
    q.group_by = "colour";
    ck_assert_ptr_null(usage(&q, STATUS_BAD_FIELD));
}
END_TEST

/* ---- invoices ------------------------------------------------------------------------------ */

struct issue_args {
    const char *project, *month;
    json_t *document;
};

static enum status run_issue(struct ledger_call *call, struct db *db, int64_t now_us)
{
    struct issue_args *a = call->arg;
    return document_issue(db, a->project, a->month, &seller, now_us, &a->document);
}

static json_t *issue(const char *slug, const char *month, enum status expected)
{
    struct issue_args a = { slug, month, NULL };
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = run_issue, .arg = &a };
    ck_assert_int_eq(fixture_submit(&f, &call.op), expected);
    return a.document;
}

static json_t *draft(const char *month, enum status expected)
{
    struct db *db = fixture_reader(&f);
    json_t *document = NULL;
    ck_assert_int_eq(document_of_month(db, "acme", month, &seller, f.wall_us, &document), expected);
    db_close(db);
    return document;
}

static void buy_images(int64_t count, int64_t model, enum meter meter, int64_t each)
{
    struct ledger_hold h = fixture_hold_of(&f, project, count * each);
    h.model = model;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    struct ledger_settle s = fixture_settle_of(&h, 0, 0);
    s.lines[s.line_count++] =
        (struct bill_line){ .meter = meter, .qty = (uint64_t)count, .amount = { count * each } };
    s.amount.atoms = count * each;
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
}

START_TEST(test_invoice_adds_up)
{
    fixture_request(&f, project, 123456789, 0); /* V18: 308.6419725000 */
    buy_images(2, 2, METER_IMAGES, 1200000000); /* V4: 0.24 */
    AUTO(json_decref_ptr) json_t *d = draft("2026-11", STATUS_OK);
    const json_t *lines = json_object_get(d, "lines"), *totals = json_object_get(d, "totals");
    ck_assert_uint_eq(json_array_size(lines), 2);
    const json_t *chat = json_array_get(lines, 0);
    ck_assert_str_eq(TEXT(chat, "model"), "base/chat");
    ck_assert_str_eq(TEXT(chat, "unit_price"), "2.50 per 1000000");
    ck_assert_str_eq(TEXT(chat, "exact"), "308.6419725000");
    ck_assert_str_eq(TEXT(chat, "net"), "308.64");
    ck_assert_str_eq(TEXT(json_array_get(lines, 1), "net"), "0.24");
    ck_assert_str_eq(TEXT(totals, "net"), "308.88");
    ck_assert_str_eq(TEXT(totals, "rounding"), "-0.0019725000");
    ck_assert_str_eq(TEXT(totals, "tax"), "18.53"); /* 18.5328 */
    ck_assert_str_eq(TEXT(totals, "gross"), "327.41");
    ck_assert_str_eq(TEXT(d, "status"), "draft");
    ck_assert(json_is_null(json_object_get(d, "number")));
    ck_assert_str_eq(TEXT(json_object_get(d, "buyer"), "name"), "Buyer acme");
    ck_assert_str_eq(TEXT(json_object_get(d, "buyer"), "po_number"), "PO-1");
}
END_TEST

/* V8: three lines of 0.335 each round up, and 0.015 is shown as what rounding added. */
START_TEST(test_v8_rounding_is_shown_and_posted)
{
    fixture_request(&f, project, 134000, 0); /* 0.3350000000 */
    fixture_request(&f, project, 0, 33500);  /* 0.3350000000 */
    fixture_request(&f, project, 1, 0);      /* and a little on the first line */
    f.wall_us += DAYS(20);
    AUTO(json_decref_ptr) json_t *d = issue("acme", "2026-11", STATUS_OK);
    const json_t *totals = json_object_get(d, "totals");
    ck_assert_str_eq(TEXT(totals, "net"), "0.68");
    ck_assert_str_eq(TEXT(totals, "exact"), "0.6700025000");
    ck_assert_str_eq(TEXT(totals, "rounding"), "0.0099975000");
    ck_assert_int_eq(fixture_int(&f, "SELECT posted_atoms FROM account_balance JOIN account a"
                                     " ON a.id = account WHERE kind = 'rounding'"),
                     -99975000);
    ck_assert_int_eq(fixture_int(&f, "SELECT posted_atoms FROM account_balance JOIN account a"
                                     " ON a.id = account WHERE kind = 'unbilled'"),
                     0);
    ck_assert_int_eq(fixture_int(&f, "SELECT posted_atoms FROM account_balance JOIN account a"
                                     " ON a.id = account WHERE kind = 'receivable'"),
                     7200000000); /* 0.68 and 0.04 tax */
}
END_TEST

/* V8b: what is too small for a cent is not lost when it happens often. */
START_TEST(test_v8b_small_amounts_add_up)
{
    for (int i = 0; i < 1000; i++)
        fixture_request(&f, project, 16, 0); /* 0.00004 */
    fixture_request(&f, project, 400, 0);
    AUTO(json_decref_ptr) json_t *d = draft("2026-11", STATUS_OK);
    ck_assert_str_eq(TEXT(json_object_get(d, "totals"), "net"), "0.04");
    ck_assert_str_eq(TEXT(json_object_get(d, "totals"), "exact"), "0.0410000000");
}
END_TEST

START_TEST(test_numbers_have_no_gap_and_documents_are_frozen)
{
    fixture_project(&f, "beta", UNIT, "month");
    fixture_request(&f, project, 400000, 0);
    ck_assert_ptr_null(issue("acme", "2026-11", STATUS_CONFLICT)); /* it has not ended */
    f.wall_us += DAYS(20);
    ck_assert_ptr_null(issue("nobody", "2026-11", STATUS_NOT_FOUND));
    ck_assert_ptr_null(issue("acme", "November", STATUS_BAD_FIELD));
    AUTO(json_decref_ptr) json_t *first = issue("acme", "2026-11", STATUS_OK);
    ck_assert_str_eq(TEXT(first, "number"), "MG-2026-000001");
    ck_assert_str_eq(TEXT(first, "status"), "issued");
    ck_assert_str_eq(TEXT(first, "issue_date"), "2026-12-05");
    AUTO(json_decref_ptr) json_t *empty = issue("beta", "2026-11", STATUS_OK);
    ck_assert_str_eq(TEXT(empty, "number"), "MG-2026-000002");
    ck_assert_uint_eq(json_array_size(json_object_get(empty, "lines")), 0);
    ck_assert_str_eq(TEXT(json_object_get(empty, "totals"), "gross"), "0.00");
    f.wall_us += DAYS(40);
    AUTO(json_decref_ptr) json_t *again = issue("acme", "2026-11", STATUS_OK);
    ck_assert(json_equal(first, again));
    AUTO(json_decref_ptr) json_t *seen = draft("2026-11", STATUS_OK);
    ck_assert(json_equal(first, seen));
    AUTO(json_decref_ptr) json_t *next = issue("acme", "2026-12", STATUS_OK);
    ck_assert_str_eq(TEXT(next, "number"), "MG-2027-000001"); /* the year of the issue */
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM document"), 3);
}
END_TEST

START_TEST(test_csv)
{
    fixture_request(&f, project, 400000, 0);
    AUTO(json_decref_ptr) json_t *d = draft("2026-11", STATUS_OK);
    json_object_set_new(json_array_get(json_object_get(d, "lines"), 0), "model",
                        json_string("=a \"b\", c"));
    AUTO(free_ptr) char *csv = document_csv(d);
    ck_assert_str_eq(
        csv,
        "\"number\",\"object\",\"status\",\"refers_to\",\"organization\",\"month\",\"currency\","
        "\"line\",\"category\",\"text\",\"model\",\"meter\",\"unit\",\"unit_price\",\"quantity\","
        "\"covered\",\"exact\",\"rounding\",\"net\",\"tax_category\",\"tax_basis_points\",\"tax\","
        "\"gross\",\"list_unit_price\",\"price_version\",\"price_book\"\r\n"
        "\"\",\"invoice\",\"draft\",\"\",\"acme\",\"2026-11\",\"USD\",\"1\",\"usage\",\"\","
        "\"'=a \"\"b\"\", c\",\"input_uncached_tokens\",\"token\",\"2.50 per 1000000\",\"400000\","
        "\"0.0000000000\",\"1.0000000000\",\"\",\"1.00\",\"S\",\"600\",\"\",\"\",\"\",\"1\","
        "\"list\"\r\n"
        "\"\",\"invoice\",\"draft\",\"\",\"acme\",\"2026-11\",\"USD\",\"total\",\"\",\"\",\"\",\"\","
        "\"\",\"\",\"\",\"\",\"1.0000000000\",\"0.0000000000\",\"1.00\",\"\",\"\",\"0.06\",\"1.06\","
        "\"\",\"\",\"\"\r\n");
}
END_TEST

static const struct {
    const char *text, *cell;
} cell_cases[] = {
    { "=1+1", "\"'=1+1\"" },
    { "+1", "\"'+1\"" },
    { "@SUM(A1)", "\"'@SUM(A1)\"" },
    { "-1.25", "\"-1.25\"" },
    { "-", "\"-\"" },
    { "-1+cmd|' /C calc'!A0", "\"'-1+cmd|' /C calc'!A0\"" },
    { "-A1", "\"'-A1\"" },
    { "\t=1", "\"'\t=1\"" },
    { "\uff1d1", "\"'\uff1d1\"" },
    { "\u56fd\u5bb6, \"x\"", "\"\u56fd\u5bb6, \"\"x\"\"\"" },
};

START_TEST(test_csv_cells)
{
    AUTO(json_decref_ptr)
    json_t *d = json_pack("{s:s, s:[], s:{}}", "number", cell_cases[_i].text, "lines", "totals");
    AUTO(free_ptr) char *csv = document_csv(d);
    const char *row = strstr(csv, "\r\n") + 2;
    ck_assert_int_eq(strncmp(row, cell_cases[_i].cell, strlen(cell_cases[_i].cell)), 0);
}
END_TEST

Suite *report_suite(void);
Suite *report_suite(void)
{
    Suite *s = suite_create("report");
    TCase *t = tcase_create("texts");
    tcase_add_loop_test(t, test_months, 0, sizeof month_cases / sizeof month_cases[0]);
    tcase_add_test(t, test_decimals);
    tcase_add_loop_test(t, test_price_books, 0, sizeof book_cases / sizeof book_cases[0]);
    suite_add_tcase(s, t);
    t = tcase_create("store");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_usage_by_model);
    tcase_add_test(t, test_usage_groups_limits_and_refusals);
    tcase_add_test(t, test_invoice_adds_up);
    tcase_add_test(t, test_v8_rounding_is_shown_and_posted);
    tcase_add_test(t, test_v8b_small_amounts_add_up);
    tcase_add_test(t, test_numbers_have_no_gap_and_documents_are_frozen);
    tcase_add_test(t, test_csv);
    tcase_add_loop_test(t, test_csv_cells, 0, sizeof cell_cases / sizeof cell_cases[0]);
    suite_add_tcase(s, t);
    return s;
}
