/* tests/unit/test_archive.c -- a closed month leaves the store: what remains is clean at every step, the
 * file is clean by itself, nothing is lost between them, and what was tampered with is found.
 */
#include "base/cleanup.h"
#include "billing/archive.h"
#include "billing/document.h"
#include "billing/fund.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>
#include "gen/unit_suites.h"

#define DAY_US (INT64_C(86400) * 1000000)
/* 2026-06-10T12:00:00Z */
#define JUNE_US INT64_C(1781092800000000)

enum { ORGANIZATIONS = 3, A_DAY = 3 };

static struct fixture f, lived; /* lived: as every test finds it, closed */
static int64_t project[ORGANIZATIONS];
static const atomic_bool never;
static struct archive archive;

/* ---- months -------------------------------------------------------------------------------- */

static const char cost_text[] = "currency USD book costs\n@box/m requests 500/1\n";
static int64_t cost_model, cost_version;

static enum status publish_costs(struct ledger_call *call, struct db *db, int64_t now_us)
{
    uint8_t sha256[DIGEST_BYTES];
    (void)call;
    digest_sha256(cost_text, strlen(cost_text), sha256);
    enum status s = ledger_name_id(db, "@box/m", &cost_model);
    return s ? s : ledger_publish_costs(db, cost_text, sha256, now_us, &cost_version);
}

/* One call that was lost, and one that answered. */
static void request(int64_t payer, uint64_t out)
{
    struct ledger_hold h = fixture_hold_of(&f, payer, 100 * 25000 + (int64_t)out * 100000);
    struct ledger_settle s = fixture_settle_of(&h, 100, out);
    struct ledger_attempt calls[2];
    calls[0] = (struct ledger_attempt){ .backend = 3,
                                        .model = cost_model,
                                        .version = cost_version,
                                        .basis = EVIDENCE_UPSTREAM,
                                        .cost = { 500 },
                                        .wasted = { 500 },
                                        .line_count = 1 };
    calls[0].lines[0] = (struct bill_line){ .meter = METER_REQUESTS, .qty = 1, .amount = { 500 } };
    calls[1] = calls[0];
    calls[1].wasted.atoms = 0;
    s.attempts = calls;
    s.attempt_count = 2;
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
}

/* Every second day. */
static void days(int count)
{
    for (; count > 0; count--, f.wall_us += 2 * DAY_US) {
        f.next_rid = (f.wall_us / 1000 - INT64_C(1704067200000)) << 22;
        for (int i = 0; i < A_DAY; i++)
            request(project[i % ORGANIZATIONS], (uint64_t)i);
    }
}

static enum status add_fund(struct ledger_call *call, struct db *db, int64_t now_us)
{
    int64_t id;
    const struct fund_new new = { .organization = 2,
                                  .kind = "promo",
                                  .model = "",
                                  .amount = { 20000000 },
                                  .from_us = 0,
                                  .to_us = INT64_MAX,
                                  .note = "" };
    (void)call;
    enum status s = fund_add(db, &new, now_us, &id);
    return s ? s : ledger_reload_projects(f.ledger);
}

struct issuing {
    const char *organization, *month;
};

static enum status issue(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static const struct seller seller = { "S", "A", "T", "INV", 600, 2 };
    const struct issuing *i = call->arg;
    AUTO(json_decref_ptr) json_t *document = NULL;
    return document_issue(db, i->organization, i->month, &seller, now_us, &document);
}

static enum status on_ledger(enum status (*run)(struct ledger_call *call, struct db *db,
                                                int64_t now_us),
                             void *arg)
{
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = run, .arg = arg };
    return fixture_submit(&f, &call.op);
}

static void issue_month(const char *month)
{
    for (int i = 0; i < ORGANIZATIONS; i++) {
        char slug[16];
        snprintf(slug, sizeof slug, "p%d", i);
        struct issuing one = { slug, month };
        ck_assert_int_eq(on_ledger(issue, &one), STATUS_OK);
    }
}

/* June, July and August, of which June and July are issued. */
static void live(void)
{
    f = (struct fixture){ .wall_us = JUNE_US };
    snprintf(f.dir, sizeof f.dir, "/tmp/maasgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f.dir));
    fixture_open(&f);
    fixture_catalog(&f);
    for (int i = 0; i < ORGANIZATIONS; i++) {
        char slug[16];
        snprintf(slug, sizeof slug, "p%d", i);
        project[i] = fixture_project(&f, slug, MONEY_ATOMS_MAX, "month");
    }
    ck_assert_int_eq(on_ledger(add_fund, NULL), STATUS_OK);
    ck_assert_int_eq(on_ledger(publish_costs, NULL), STATUS_OK);
    days(31); /* until the ninth of August */
    issue_month("2026-06");
    issue_month("2026-07");
    fixture_close(&f);
    lived = f;
}

static void forget(void)
{
    fixture_free(&lived);
}

static void setup(void)
{
    char from[128], to[128];
    f = lived;
    snprintf(f.dir, sizeof f.dir, "/tmp/maasgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f.dir));
    snprintf(from, sizeof from, "%s/ledger.db", lived.dir);
    snprintf(to, sizeof to, "%s/ledger.db", f.dir);
    AUTO(close_ptr) int in = open(from, O_RDONLY | O_CLOEXEC);
    AUTO(close_ptr) int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    off_t size = lseek(in, 0, SEEK_END), at = 0;
    ck_assert_int_eq(sendfile(out, in, &at, (size_t)size), size);
    fixture_open(&f);
}

static void remove_archives(void)
{
    char sql[160];
    static const char *const names[] = { "2026-06.db", "2026-06.json", "2026-07.db", "2026-07.json",
                                         "2026-06.db.part" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(sql, sizeof sql, "%s/archive/%s", f.dir, names[i]);
        unlink(sql);
    }
    snprintf(sql, sizeof sql, "%s/archive", f.dir);
    rmdir(sql);
}

static void teardown(void)
{
    archive_clear(&archive);
    fixture_close(&f);
    remove_archives();
    fixture_free(&f);
}

/* ---- the steps ----------------------------------------------------------------------------- */

static void write_archive(const char *month)
{
    char err[256] = "";
    archive_clear(&archive);
    enum status s = archive_write(f.dir, month, f.wall_us, &never, &archive, err);
    ck_assert_msg(s == STATUS_OK, "%s: %s", month, err);
}

static enum status record(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call, (void)now_us;
    return archive_record(db, &archive);
}

static struct archive_drop dropping;
static bool dropped;

static enum status drop(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call, (void)now_us;
    return archive_drop(db, &dropping, &dropped);
}

static int drop_all(bool audit_each)
{
    int steps = 0;
    dropping = (struct archive_drop){ 0 };
    for (dropped = false; !dropped; steps++) {
        ck_assert_int_eq(on_ledger(drop, NULL), STATUS_OK);
        if (audit_each)
            fixture_audit_clean(&f);
    }
    return steps;
}

static void archive_month(const char *month)
{
    write_archive(month);
    ck_assert_int_eq(on_ledger(record, NULL), STATUS_OK);
    drop_all(false);
}

static int64_t in_file(const char *sql)
{
    struct db *db = NULL;
    char err[256];
    int64_t value = 0;
    ck_assert_int_eq(db_open(archive.file, DB_READER, &db, err), STATUS_OK);
    ck_assert_int_eq(db_first_int(db, db_prepare(db, sql), &value), STATUS_OK);
    db_close(db);
    return value;
}

START_TEST(test_a_month_moves)
{
    int64_t all = fixture_int(&f, "SELECT count(*) FROM settlement");
    int64_t atoms = fixture_int(&f, "SELECT sum(amount_atoms) FROM settlement");
    int64_t rollups = fixture_int(&f, "SELECT count(*) FROM usage_rollup");
    int64_t owed =
        fixture_int(&f, "SELECT sum(posted_atoms) FROM account_balance WHERE account % 32 = 3");
    write_archive("2026-06");
    ck_assert_int_eq(archive.requests, 11 * A_DAY);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), all);
    ck_assert_int_eq(on_ledger(record, NULL), STATUS_OK);
    fixture_audit_clean(&f);
    ck_assert_int_ge(drop_all(true), 3);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), all - archive.requests);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM request_open"), all - archive.requests);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM usage_rollup"), rollups);
    ck_assert_int_eq(
        fixture_int(&f, "SELECT sum(posted_atoms) FROM account_balance WHERE account % 32 = 3"),
        owed);
    ck_assert_int_eq(in_file("SELECT count(*) FROM settlement"), archive.requests);
    ck_assert_int_eq(in_file("SELECT count(*) FROM request_open"), archive.requests);
    ck_assert_int_eq(in_file("SELECT count(*) FROM document"), ORGANIZATIONS);
    ck_assert_int_eq(in_file("SELECT sum(amount_atoms) FROM settlement") +
                         fixture_int(&f, "SELECT sum(amount_atoms) FROM settlement"),
                     atoms);
    ck_assert_int_eq(fixture_int(&f, "SELECT state = 'done' FROM archive"), 1);
    ck_assert_int_gt(fixture_int(&f, "SELECT sum(atoms) FROM archived_draw"), 0);
}
END_TEST

START_TEST(test_life_goes_on)
{
    archive_month("2026-06");
    archive_month("2026-07");
    days(3);
    fixture_close(&f);
    fixture_open(&f);
    days(2);
    fixture_audit_clean(&f);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), 10 * A_DAY);
    issue_month("2026-06"); /* is there already: nothing changes */
    fixture_audit_clean(&f);
}
END_TEST

/* Everything is gone, and the clock goes back: the ids do not. */
START_TEST(test_ids_go_on)
{
    f.wall_us += 31 * DAY_US;
    issue_month("2026-08");
    rid_t last = fixture_int(&f, "SELECT max(rid) FROM request_open");
    archive_month("2026-06");
    archive_month("2026-07");
    archive_month("2026-08");
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM request_open"), 0);
    fixture_close(&f);
    f.wall_us -= 90 * DAY_US;
    fixture_open(&f);
    ck_assert_int_ge(ledger_last_rid(f.ledger), last);
    f.wall_us += 120 * DAY_US;
    days(1);
    fixture_audit_clean(&f);
}
END_TEST

/* A crash after any step, and a month of which only a part is dropped. */
START_TEST(test_any_step_may_be_the_last)
{
    write_archive("2026-06");
    write_archive("2026-06"); /* what is not recorded is made anew */
    ck_assert_int_eq(on_ledger(record, NULL), STATUS_OK);
    ck_assert_int_eq(on_ledger(record, NULL), STATUS_CONFLICT);
    for (int i = 0; i < 3; i++) {
        dropping = (struct archive_drop){ 0 };
        ck_assert_int_eq(on_ledger(drop, NULL), STATUS_OK);
        fixture_close(&f);
        fixture_audit_clean(&f);
        fixture_open(&f);
    }
    drop_all(true);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"), 20 * A_DAY);
}
END_TEST

/* What the gateway itself counted of a request goes with it, and so does what it held in addition. */
START_TEST(test_recounts_and_legs_go_along)
{
    fixture_close(&f);
    fixture_tamper(&f, "INSERT INTO recount SELECT rid, 't@0', NULL, NULL, 0, NULL, NULL, 0, 0"
                       " FROM settlement;"
                       "INSERT INTO hold_more SELECT o.rid, l.value, 1, o.accepted_us, NULL"
                       " FROM request_open o, json_each('[1,2,3]') l");
    fixture_open(&f);
    fixture_audit_clean(&f);
    archive_month("2026-06");
    fixture_audit_clean(&f);
    ck_assert_int_eq(in_file("SELECT count(*) FROM recount"), archive.requests);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM recount"), 20 * A_DAY);
    ck_assert_int_eq(in_file("SELECT count(*) FROM hold_more"), 3 * archive.requests);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM hold_more"), 3 * 20 * A_DAY);
}
END_TEST

/* What backends cost is in the file as it was here, and what margins are made of stays. */
START_TEST(test_costs_go_along)
{
    static const char spent[] = "SELECT sum(cost_atoms * 7 + wasted_atoms) FROM attempt";
    static const char sums[] =
        "SELECT sum(cost_atoms * 7 + wasted_atoms + attempts) FROM cost_rollup";
    static const char balance[] =
        "SELECT sum(posted_atoms * (account % 32)) FROM account_balance WHERE account % 32 > 11";
    int64_t before[] = { fixture_int(&f, spent), fixture_int(&f, sums), fixture_int(&f, balance) };
    archive_month("2026-06");
    fixture_audit_clean(&f);
    ck_assert_int_eq(in_file("SELECT count(*) FROM attempt"), 2 * archive.requests);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM attempt"), 2 * 20 * A_DAY);
    ck_assert_int_eq(in_file(spent) + fixture_int(&f, spent), before[0]);
    ck_assert_int_eq(fixture_int(&f, sums), before[1]);
    ck_assert_int_eq(fixture_int(&f, balance), before[2]);
    ck_assert_int_gt(in_file("SELECT count(*) FROM ledger_tx WHERE kind = 'upstream'"), 0);
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM ledger_tx WHERE kind = 'upstream'"),
                     20 * A_DAY);
}
END_TEST

/* ---- what may leave ------------------------------------------------------------------------ */

static enum status choose(const char *month, int64_t keep, char ret[static ARCHIVE_MONTH_BYTES])
{
    char err[256] = "";
    struct db *db = fixture_reader(&f);
    enum status s = archive_choose(db, month, keep, f.wall_us, ret, err);
    db_close(db);
    return s;
}

START_TEST(test_which_month)
{
    char month[ARCHIVE_MONTH_BYTES]; /* it is the eleventh of August */
    ck_assert_int_eq(choose(NULL, 2, month), STATUS_OK);
    ck_assert_str_eq(month, "");
    ck_assert_int_eq(choose(NULL, 1, month), STATUS_OK);
    ck_assert_str_eq(month, "2026-06");
    ck_assert_int_eq(choose("2026-06", 2, month), STATUS_CONFLICT);
    ck_assert_int_eq(choose("2026-07", 1, month), STATUS_CONFLICT);
    ck_assert_int_eq(choose("June", 1, month), STATUS_BAD_FIELD);
    archive_month("2026-06");
    f.wall_us += 31 * DAY_US;
    ck_assert_int_eq(choose(NULL, 1, month), STATUS_OK);
    ck_assert_str_eq(month, "2026-07");
}
END_TEST

START_TEST(test_only_what_is_issued)
{
    char err[256] = "";
    ck_assert_int_eq(archive_write(f.dir, "2026-08", f.wall_us, &never, &archive, err),
                     STATUS_CONFLICT);
    ck_assert_msg(strstr(err, "maasgate invoice 2026-08 --org p0 --issue") != NULL, "%s", err);
    ck_assert_int_eq(archive_write(f.dir, "2026-05", f.wall_us, &never, &archive, err),
                     STATUS_CONFLICT);
    archive_month("2026-06");
    archive_clear(&archive);
    ck_assert_int_eq(archive_write(f.dir, "2026-06", f.wall_us, &never, &archive, err),
                     STATUS_CONFLICT);
    ck_assert_msg(strstr(err, "already") != NULL, "%s", err);
}
END_TEST

START_TEST(test_a_question_for_what_left)
{
    archive_month("2026-06");
    AUTO(json_decref_ptr) json_t *rows = NULL;
    struct usage_query q = { .from_us = JUNE_US - 5 * DAY_US,
                             .to_us = f.wall_us,
                             .group_by = "served" };
    q.from_us -= q.from_us % (DAY_US / 24);
    q.to_us -= q.to_us % (DAY_US / 24);
    struct db *db = fixture_reader(&f);
    ck_assert_int_eq(report_usage(db, &q, &rows), STATUS_CONFLICT);
    q.group_by = "model"; /* the sums are here */
    ck_assert_int_eq(report_usage(db, &q, &rows), STATUS_OK);
    ck_assert_int_ge(json_integer_value(json_object_get(rows, "requests")), 31 * A_DAY);
    db_close(db);
}
END_TEST

/* ---- tampering ----------------------------------------------------------------------------- */

static const char *const tampered[] = {
    "UPDATE usage_rollup SET qty = qty + 1 WHERE hour_us = (SELECT min(hour_us) FROM usage_rollup)",
    "UPDATE usage_rollup SET key = key + 1 WHERE hour_us = (SELECT min(hour_us) FROM usage_rollup)",
    "DELETE FROM usage_rollup WHERE hour_us = (SELECT min(hour_us) FROM usage_rollup)",
    "DROP TRIGGER archived_balance_stays_u; UPDATE archived_balance SET atoms = atoms + 1 WHERE account ="
    " (SELECT min(account) FROM archived_balance)",
    "DROP TRIGGER archived_balance_stays_u; UPDATE archived_balance SET atoms = atoms + CASE account % 32"
    " WHEN 1 THEN 5 WHEN 2 THEN -5 ELSE 0 END; UPDATE account_balance SET posted_atoms = posted_atoms +"
    " CASE account % 32 WHEN 1 THEN 5 WHEN 2 THEN -5 ELSE 0 END",
    "DROP TRIGGER archived_draw_stays_u; UPDATE archived_draw SET atoms = atoms + 1",
    "UPDATE project_spent SET atoms = atoms + 1 WHERE project = 1",
    "UPDATE account_balance SET posted_atoms = posted_atoms + 1 WHERE account = 33",
    "DROP TRIGGER document_stays_d; DELETE FROM document WHERE number LIKE '%000001'",
    "UPDATE cost_rollup SET attempts = attempts + 1 WHERE hour_us = (SELECT min(hour_us) FROM cost_rollup)",
    "DELETE FROM cost_rollup WHERE hour_us = (SELECT min(hour_us) FROM cost_rollup)",
    "UPDATE cost_rollup SET wasted_atoms = 0 WHERE hour_us = (SELECT min(hour_us) FROM cost_rollup)",
    "DROP TRIGGER archived_balance_stays_u; UPDATE archived_balance SET atoms = atoms + CASE account % 32"
    " WHEN 12 THEN 5 WHEN 14 THEN -5 ELSE 0 END; UPDATE account_balance SET posted_atoms = posted_atoms +"
    " CASE account % 32 WHEN 12 THEN 5 WHEN 14 THEN -5 ELSE 0 END",
};

START_TEST(test_tampering_is_found)
{
    archive_month("2026-06");
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_tamper(&f, tampered[_i]);
    ck_assert_msg(fixture_audit_problems(&f) > 0, "%s", tampered[_i]);
}
END_TEST

static const char *const refused[] = {
    "DELETE FROM settlement WHERE rid = (SELECT max(rid) FROM settlement)",
    "DELETE FROM settlement WHERE rid = (SELECT min(rid) FROM settlement)",
    "DELETE FROM request_open WHERE rid = (SELECT min(rid) FROM request_open)",
    "DELETE FROM ledger_entry WHERE tx = (SELECT max(tx) FROM ledger_tx WHERE kind = 'usage')",
    "DELETE FROM ledger_tx WHERE kind = 'invoice'",
    "DELETE FROM ledger_tx WHERE kind = 'upstream'",
    "DELETE FROM attempt WHERE rid = (SELECT min(rid) FROM attempt)",
    "UPDATE archive SET state = 'dropping'",
    "UPDATE archive SET sha256 = 'x'",
    "DELETE FROM archive",
    "DELETE FROM archived_balance",
    "UPDATE archived_balance SET atoms = 0",
    "UPDATE archived_draw SET atoms = 1",
    "UPDATE billing_period SET archive = NULL WHERE archive IS NOT NULL",
};

/* With the month being dropped, and after: only its own rows may go. */
START_TEST(test_the_rest_may_not_go)
{
    char path[128];
    sqlite3 *db = NULL;
    archive_month("2026-06");
    fixture_close(&f);
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, "PRAGMA recursive_triggers=ON", NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, refused[_i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
    sqlite3_close(db);
}
END_TEST

static const char *const while_dropping[] = {
    "DELETE FROM attempt WHERE rid = (SELECT max(rid) FROM attempt)",
    "DELETE FROM ledger_tx WHERE tx = (SELECT max(tx) FROM ledger_tx WHERE kind = 'upstream')",
    "DELETE FROM settlement WHERE rid = (SELECT max(rid) FROM settlement)",
    "DELETE FROM request_open WHERE rid = (SELECT min(rid) FROM request_open)", /* its settlement is there */
    "DELETE FROM ledger_tx WHERE tx = (SELECT max(tx) FROM ledger_tx WHERE kind = 'usage')",
    "DELETE FROM ledger_entry WHERE tx = (SELECT max(tx) FROM ledger_tx WHERE kind = 'usage')",
};

START_TEST(test_others_may_not_go_meanwhile)
{
    char path[128];
    sqlite3 *db = NULL;
    write_archive("2026-06");
    ck_assert_int_eq(on_ledger(record, NULL), STATUS_OK);
    fixture_close(&f);
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, while_dropping[_i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
    sqlite3_close(db);
}
END_TEST

Suite *archive_suite(void)
{
    Suite *s = suite_create("archive");
    TCase *t = tcase_create("archive");
    tcase_add_unchecked_fixture(t, live, forget);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_a_month_moves);
    tcase_add_test(t, test_life_goes_on);
    tcase_add_test(t, test_ids_go_on);
    tcase_add_test(t, test_any_step_may_be_the_last);
    tcase_add_test(t, test_recounts_and_legs_go_along);
    tcase_add_test(t, test_costs_go_along);
    tcase_add_test(t, test_which_month);
    tcase_add_test(t, test_only_what_is_issued);
    tcase_add_test(t, test_a_question_for_what_left);
    tcase_add_loop_test(t, test_tampering_is_found, 0, sizeof tampered / sizeof *tampered);
    tcase_add_loop_test(t, test_the_rest_may_not_go, 0, sizeof refused / sizeof *refused);
    tcase_add_loop_test(t, test_others_may_not_go_meanwhile, 0,
                        sizeof while_dropping / sizeof *while_dropping);
    suite_add_tcase(s, t);
    return s;
}
