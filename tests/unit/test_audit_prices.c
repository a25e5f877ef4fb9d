/* tests/unit/test_audit_prices.c -- bills by more than one price a meter: the audit follows each
 * kind, and finds a line that another price, amount or count should have made. */
#include "base/cleanup.h"
#include "base/digest.h"
#include "billing/document.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include "gen/unit_suites.h"

static struct fixture f;

static const char book[] =
    "currency USD book tiers\n"
    "base/chat input_uncached_tokens unit 20000/1 context=0..1000\n"
    "base/chat input_uncached_tokens unit 30000/1 context=1001..\n"
    "base/chat output_text_tokens included 100\n"
    "base/chat output_text_tokens unit 50000/1 time=UTC/Mon,Tue,Wed,Thu,Fri,Sat,Sun/00:00-24:00\n"
    "base/chat output_text_tokens 90000/1\n"
    "base/chat requests flat 700/request\n"
    "domain/vision audio_ms volume 10:7/1,*:5/1\n"
    "domain/vision characters package 900/10\n"
    "domain/vision images 400/1\n"
    "domain/vision images unit 800/1 size=1024x1024\n"
    "domain/vision tensor_elements graduated 10:3/1,*:2/1\n"
    "domain/vision video_ms flat 11/period\n";

static enum status publish(struct ledger_call *call, struct db *db, int64_t now_us)
{
    uint8_t sha256[32];
    digest_sha256(book, strlen(book), sha256);
    return ledger_publish_prices(db, "tiers", "USD", book, sha256, now_us, call->arg);
}

static void bill(int64_t project, int64_t model, const struct bill_line *lines, unsigned count,
                 const char *facts)
{
    struct ledger_hold h = fixture_hold_of(&f, project, 1000000000);
    h.model = model;
    h.price_version = 2;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    struct ledger_settle s = fixture_settle_of(&h, 0, 0);
    for (unsigned i = 0; i < count; i++) {
        s.lines[i] = lines[i];
        s.amount.atoms += lines[i].amount.atoms;
    }
    s.line_count = count;
    s.facts = facts;
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
}

static void setup(void)
{
    int64_t version = 0;
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = publish, .arg = &version };
    fixture_init(&f);
    fixture_catalog(&f);
    int64_t project = fixture_project(&f, "acme", 1000 * MONEY_ATOMS_PER_UNIT, "month");
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    ck_assert_int_eq(version, 2);
    const struct bill_line chat[] = {
        { METER_REQUESTS, 0, 1, { 700 }, 0 },
        { METER_INPUT_UNCACHED, 0, 1000, { 20000000 }, 0 },
        { METER_OUTPUT_TEXT, 0, 100, { 0 }, 0 },
        { METER_OUTPUT_TEXT, 1, 3, { 150000 }, 0 },
    };
    bill(project, 1, chat, 4, "{\"context\":1000}");
    const struct bill_line more[] = { { METER_INPUT_UNCACHED, 1, 1001, { 30030000 }, 0 },
                                      { METER_OUTPUT_TEXT, 1, 2, { 100000 }, 0 } };
    bill(project, 1, more, 2, "{\"context\":1500,\"service_tier\":\"standard\"}");
    const struct bill_line vision[] = {
        { METER_IMAGES, 1, 2, { 1600 }, 0 },   { METER_CHARACTERS, 0, 11, { 1800 }, 0 },
        { METER_AUDIO_MS, 0, 30, { 210 }, 0 }, { METER_TENSOR_ELEMENTS, 0, 5, { 15 }, 0 },
        { METER_VIDEO_MS, 0, 5, { 11 }, 0 },
    };
    bill(project, 2, vision, 5, "{\"context\":0,\"size\":\"1024x1024\"}");
    const struct bill_line later[] = {
        { METER_IMAGES, 0, 1, { 400 }, 0 },   { METER_CHARACTERS, 0, 9, { 0 }, 11 },
        { METER_AUDIO_MS, 0, 4, { 28 }, 30 }, { METER_TENSOR_ELEMENTS, 0, 8, { 21 }, 5 },
        { METER_VIDEO_MS, 0, 5, { 0 }, 5 },
    };
    bill(project, 2, later, 5, "{\"context\":0,\"size\":\"1x1\",\"quality\":\"hd\"}");
}

static void teardown(void)
{
    fixture_free(&f);
}

START_TEST(test_right_bills)
{
    fixture_audit_clean(&f);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM usage_rollup WHERE item = 1"), 3);
}
END_TEST

#define SETTLED(from, to)                                                                  \
    "DROP TRIGGER settlement_stays_u; UPDATE settlement SET lines = replace(lines, '" from \
    "', '" to "')"

/* Each keeps the sum and the rollups wrong or right as it may: what is asked is one sentence. */
static const struct {
    const char *label, *sql, *sentence;
} damage[] = {
    { "another band", SETTLED("\"context\":1500", "\"context\":900"), "its context is less" },
    { "a band below", SETTLED("\"context\":1000}", "\"context\":1001}"), "but price 1 holds" },
    { "another item", SETTLED("[1,1001,30030000,1]", "[1,1001,30030000]"), "but price 1 holds" },
    { "no such item", SETTLED("[1,1001,30030000,1]", "[1,1001,30030000,2]"), "has no price" },
    { "another size", SETTLED("1024x1024", "512x512"), "but price 0 holds" },
    { "a size for none", SETTLED("\"1x1\"", "\"1024x1024\""), "but price 1 holds" },
    { "no facts", SETTLED(",{\"context\":1000}", ""), "nothing says what chose it" },
    { "facts that are none", SETTLED("{\"context\":1000}", "{\"contexts\":1000}"),
      "cannot be read" },
    { "a fact twice", SETTLED("\"quality\":\"hd\"", "\"size\":\"hd\""), "cannot be read" },
    { "too much is free", SETTLED("[4,100,0]", "[4,101,0]"), "more is free" },
    { "flat", SETTLED("[0,1,700]", "[0,1,701]"), "not their price" },
    { "package", SETTLED("[7,11,1800]", "[7,11,900]"), "not their price" },
    { "package after others", SETTLED("[7,9,0,0,11]", "[7,9,0,0,12]"), "not their price" },
    { "volume", SETTLED("[8,4,28,0,30]", "[8,4,20,0,30]"), "not their price" },
    { "graduated", SETTLED("[10,8,21,0,5]", "[10,8,21,0,4]"), "not their price" },
    { "flat of a period twice", SETTLED("[15,5,0,0,5]", "[15,5,0]"), "not their price" },
    { "six numbers", SETTLED("[15,5,0,0,5]", "[15,5,0,0,5,1]"), "cannot be read" },
    { "another hour",
      "DROP TRIGGER price_version_stays_u; UPDATE price_version SET text ="
      " replace(text, '00:00-24:00', '00:00-00:01')",
      "but price 2 holds" },
    { "rollup of another item", "UPDATE usage_rollup SET item = 2 WHERE item = 1",
      "has no settlements" },
};

START_TEST(test_damage)
{
    fixture_close(&f);
    fixture_tamper(&f, damage[_i].sql);
    struct db *db = fixture_reader(&f);
    AUTO(json_decref_ptr) json_t *result = NULL;
    ck_assert_int_eq(audit_run(db, f.wall_us, &result), STATUS_OK);
    AUTO(free_ptr) char *text = json_dumps(json_object_get(result, "problems"), 0);
    ck_assert_msg(strstr(text, damage[_i].sentence), "%s: %s", damage[_i].label, text);
    db_close(db);
}
END_TEST

/* A line of the invoice is one item, and says its price with the requests that it holds for. */
START_TEST(test_invoice_lines)
{
    static const struct seller seller = { "S", "A", "T", "MG", 0, 2 };
    static const char *const prices[] = {
        "0.000002 per 1, context=0..1000",
        "0.000003 per 1, context=1001..",
        "100 included",
        "0.000005 per 1, time=UTC/Mon",
        "0.00000007 per request",
        "volume to 10 0.0000000007 per 1, above 0.0000000005 per 1",
        "graduated to 10 0.0000000003 per 1, above 0.0000000002 per 1",
        "0.00000009 per package of 10",
        "0.0000000011 per period",
        "0.00000004 per 1\"",
        "0.00000008 per 1, size=1024x1024",
    };
    struct db *db = fixture_reader(&f);
    AUTO(json_decref_ptr) json_t *document = NULL;
    ck_assert_int_eq(document_of_month(db, "acme", "2026-11", &seller, f.wall_us, &document),
                     STATUS_OK);
    AUTO(free_ptr) char *text = json_dumps(json_object_get(document, "lines"), 0);
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++)
        ck_assert_msg(strstr(text, prices[i]), "%s\n%s", prices[i], text);
    ck_assert_uint_eq(json_array_size(json_object_get(document, "lines")), 11 + 2);
    ck_assert_ptr_nonnull(strstr(text, "audio_ms: all units at one price"));
    db_close(db);
}
END_TEST

/* ---- an invoice that gives back of the volume price: 34 units at 7 were charged, at 5 they are due */

static const struct seller house = { "S", "A", "T", "MG", 0, 2 };

static enum status issue(struct ledger_call *call, struct db *db, int64_t now_us)
{
    return document_issue(db, "acme", "2026-11", &house, now_us, call->arg);
}

#define DOCUMENT(from, to)                                                               \
    "DROP TRIGGER document_stays_u; UPDATE document SET body = replace(body, '" from "'" \
    ", '" to "')"

static const struct {
    const char *sql, *sentence;
} taken[] = {
    { "SELECT 1", NULL },
    { DOCUMENT("0.0000000170", "0.0000000169"), "a line of a volume price is not" },
    { DOCUMENT("-0.0000000238", "-0.0000000237"), "a line of a volume price is not" },
    { DOCUMENT("\"category\":\"volume\"", "\"category\":\"reversal\""), "is not what" },
    { DOCUMENT("\"category\":\"volume\"", "\"category\":\"other\""), "was not given back" },
    { "DROP TRIGGER ledger_tx_stays_u; UPDATE ledger_tx SET ref = 'x' WHERE kind = 'volume'",
      "is not posted so" },
};

START_TEST(test_an_invoice_that_gives_back)
{
    json_t *document = NULL;
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = issue, .arg = &document };
    f.wall_us += INT64_C(31) * 24 * 3600 * 1000000;
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    json_decref(document);
    ck_assert_int_eq(fixture_int(&f, "SELECT e.atoms FROM ledger_tx t JOIN ledger_entry e ON"
                                     " e.tx = t.tx WHERE t.kind = 'volume' AND e.atoms > 0"),
                     34 * 7 - 34 * 5);
    fixture_close(&f);
    fixture_tamper(&f, taken[_i].sql);
    struct db *db = fixture_reader(&f);
    AUTO(json_decref_ptr) json_t *result = NULL;
    ck_assert_int_eq(audit_run(db, f.wall_us, &result), STATUS_OK);
    AUTO(free_ptr) char *text = json_dumps(json_object_get(result, "problems"), 0);
    ck_assert_msg(taken[_i].sentence ? strstr(text, taken[_i].sentence) != NULL
                                     : strcmp(text, "[]") == 0,
                  "%s", text);
    db_close(db);
}
END_TEST

Suite *audit_prices_suite(void)
{
    Suite *s = suite_create("audit_prices");
    TCase *t = tcase_create("audit_prices");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_right_bills);
    tcase_add_loop_test(t, test_damage, 0, sizeof damage / sizeof *damage);
    tcase_add_test(t, test_invoice_lines);
    tcase_add_loop_test(t, test_an_invoice_that_gives_back, 0, sizeof taken / sizeof *taken);
    suite_add_tcase(s, t);
    return s;
}
