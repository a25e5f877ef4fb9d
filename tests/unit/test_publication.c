/* tests/unit/test_publication.c -- who may publish a price book, which is in force when, and that the
 * audit finds what was done to one afterwards. */
#include "base/db.h"
#include "base/digest.h"
#include "billing/publication.h"
#include "billing/report.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gen/unit_suites.h"

enum { NOTICE = 1000 };
static struct fixture f;
static struct db *db;
static char err[256];
static int64_t now = 1000000;

static void open_store(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/ledger.db", f.dir);
    ck_assert_int_eq(db_open(path, DB_WRITER, &db, err), STATUS_OK);
}

static void setup(void)
{
    fixture_init(&f);
    fixture_close(&f);
    open_store();
}

static void teardown(void)
{
    db_close(db);
    fixture_open(&f);
    fixture_free(&f);
}

static int64_t propose(const char *name, int64_t from, const char *by)
{
    char text[100];
    uint8_t sha256[DIGEST_BYTES];
    int64_t id;
    int len = snprintf(text, sizeof text, "currency USD book %s\nbase/chat requests 5/1\n", name);
    digest_sha256(text, (size_t)len, sha256);
    const struct proposal_new p = { { BOOK_LIST, 0 }, name, "USD", text, sha256, from, NOTICE, by };
    *err = '\0';
    ck_assert_msg(publication_propose(db, &p, now, &id, err) == STATUS_OK, "%s", err);
    return id;
}

static enum status approve(int64_t id, const char *by)
{
    json_t *done = NULL;
    *err = '\0';
    enum status s = publication_approve(db, id, by, NOTICE, now, &done, err);
    json_decref(done);
    return s;
}

static void add_approver(const char *name, unsigned char first)
{
    ck_assert_int_eq(approver_add(db, name, (uint8_t[32]){ first }, "uid:0", now), STATUS_OK);
}

START_TEST(test_a_second_person)
{
    int64_t id = propose("a", now + NOTICE, "uid:0");
    ck_assert_int_eq(approve(id, "uid:0"), STATUS_FORBIDDEN);
    ck_assert_int_eq(approve(id + 1, "uid:7"), STATUS_NOT_FOUND);
    ck_assert_int_eq(approve(id, "uid:7"), STATUS_OK);
    ck_assert_int_eq(approve(id, "uid:7"), STATUS_CONFLICT);
    ck_assert_int_eq(approve(propose("b", now + NOTICE, "uid:0"), "uid:7"), STATUS_CONFLICT);
}
END_TEST

START_TEST(test_an_approver_was_there_before)
{
    add_approver("ada", 1);
    int64_t at_once = propose("a", now + 5 * NOTICE, "uid:0");
    ck_assert_int_eq(approve(at_once, "key:ada"), STATUS_FORBIDDEN);
    now++;
    int64_t own = propose("b", now + 5 * NOTICE, "key:ada"),
            later = propose("c", now + 6 * NOTICE, "uid:0");
    ck_assert_int_eq(approve(own, "key:ada"), STATUS_FORBIDDEN);
    ck_assert_int_eq(approve(own, "uid:0"), STATUS_OK);
    ck_assert_int_eq(approve(later, "key:ada"), STATUS_OK);
}
END_TEST

START_TEST(test_notice)
{
    int64_t id = propose("a", now + NOTICE, "uid:0");
    const struct proposal_new early = { { BOOK_LIST, 0 }, "x",    "USD",  "", (uint8_t[32]){ 0 },
                                        now + NOTICE - 1, NOTICE, "uid:0" };
    int64_t none;
    ck_assert_int_eq(publication_propose(db, &early, now, &none, err), STATUS_BAD_FIELD);
    ck_assert_ptr_nonnull(strstr(err, "too early"));
    now++; /* it waited too long for its second person */
    ck_assert_int_eq(approve(id, "uid:7"), STATUS_BAD_FIELD);
}
END_TEST

START_TEST(test_approvers)
{
    char person[PERSON_BYTES];
    add_approver("ada", 1);
    ck_assert_int_eq(approver_add(db, "ada", (uint8_t[32]){ 2 }, "uid:0", now), STATUS_CONFLICT);
    ck_assert_int_eq(approver_add(db, "bob", (uint8_t[32]){ 1 }, "uid:0", now), STATUS_CONFLICT);
    ck_assert_int_eq(approver_add(db, "B", (uint8_t[32]){ 3 }, "uid:0", now), STATUS_BAD_FIELD);
    ck_assert_int_eq(approver_find(db, (uint8_t[32]){ 1 }, person), STATUS_OK);
    ck_assert_str_eq(person, "key:ada");
    ck_assert_int_eq(approver_find(db, (uint8_t[32]){ 4 }, person), STATUS_NOT_FOUND);
    ck_assert_int_eq(approver_revoke(db, "ada", "uid:0", now), STATUS_OK);
    ck_assert_int_eq(approver_revoke(db, "ada", "uid:0", now), STATUS_NOT_FOUND);
    ck_assert_int_eq(approver_find(db, (uint8_t[32]){ 1 }, person), STATUS_NOT_FOUND);
    json_t *list = NULL;
    ck_assert_int_eq(approver_list(db, &list), STATUS_OK);
    ck_assert_uint_eq(json_array_size(list), 1);
    json_decref(list);
}
END_TEST

static void check_terms(int64_t us, size_t count, const char *first)
{
    struct publication_terms t;
    ck_assert_int_eq(publication_terms(db, us, &t, err), STATUS_OK);
    ck_assert_uint_eq(t.list.count, count);
    ck_assert_str_eq(t.list.term[0].book, first);
    for (size_t i = 1; i < t.list.count; i++)
        ck_assert_int_gt(t.list.term[i].from_us, t.list.term[i - 1].from_us);
    publication_terms_free(&t);
}

/* Those to come, the one in force, and one more for a clock that is set back. */
START_TEST(test_terms)
{
    int64_t start = now;
    struct publication_terms none;
    ck_assert_int_eq(publication_terms(db, now, &none, err), STATUS_OK);
    ck_assert_uint_eq(none.list.count, 0);
    fixture_tamper(&f, "INSERT INTO price_version VALUES (1, 'own', 'USD', '', zeroblob(32), 0)");
    ck_assert_int_eq(publication_configured(db, 1), STATUS_OK);
    for (int i = 1; i <= 3; i++)
        ck_assert_int_eq(approve(propose(&"abc"[i - 1], start + i * NOTICE, "uid:0"), "uid:7"),
                         STATUS_OK);
    check_terms(start, 4, "own");
    check_terms(start + NOTICE, 4, "own");
    check_terms(start + 2 * NOTICE, 3, "abc");
    check_terms(start + 9 * NOTICE, 2, "bc");
    ck_assert_int_eq(publication_configured(db, 1), STATUS_CONFLICT);
    json_t *list = NULL;
    ck_assert_int_eq(publication_list(db, start + 2 * NOTICE, &list), STATUS_OK);
    static const char *const states[] = { "scheduled", "in force", "past", "past" };
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, i), "state")),
                         states[i]);
    json_decref(list);
}
END_TEST

/* ---- the audit ----------------------------------------------------------------------------- */

#define WITHOUT(trigger) "DROP TRIGGER " trigger ";"
static const struct {
    const char *label, *sql;
} damage[] = {
    { "text", WITHOUT("price_proposal_stays_u") "UPDATE price_proposal SET text = text || ' '" },
    { "one person",
      WITHOUT("price_publication_stays_u") "UPDATE price_publication SET published_by = 'uid:0'" },
    { "nobody",
      WITHOUT("price_publication_stays_u") "UPDATE price_publication SET published_by = 'me'" },
    { "no approver",
      WITHOUT(
          "price_publication_stays_u") "UPDATE price_publication SET published_by = 'key:eve'" },
    { "late approver",
      WITHOUT(
          "price_approver_stays_u") "UPDATE price_approver SET created_us = created_us + 1000000000" },
    { "revoked approver", "UPDATE price_approver SET revoked_us = 1" },
    { "other version",
      WITHOUT("price_publication_stays_u") "UPDATE price_publication SET price_version = 1" },
    { "no notice",
      WITHOUT("price_publication_stays_u") "UPDATE price_publication SET published_us = proposal" },
    { "request before it",
      WITHOUT("request_open_stays_u") WITHOUT(
          "settlement_stays_u") "UPDATE request_open SET price_version = 2; UPDATE settlement SET price_version = 2" },
    { "request after it",
      WITHOUT("request_open_stays_u") "UPDATE request_open SET accepted_us = 4000000000000000" },
};

START_TEST(test_damage_is_found)
{
    db_close(db);
    fixture_open(&f);
    fixture_catalog(&f);
    int64_t project = fixture_project(&f, "acme", 1000000000, "month");
    fixture_request(&f, project, 10, 5);
    fixture_close(&f);
    open_store();
    now = f.wall_us + 1;
    add_approver("ada", 1);
    now++;
    ck_assert_int_eq(approve(propose("a", 3000000000000000, "uid:0"), "key:ada"), STATUS_OK);
    ck_assert_int_eq(fixture_audit_problems(&f), 0);
    fixture_tamper(&f, damage[_i].sql);
    ck_assert_msg(fixture_audit_problems(&f) > 0, "%s was not found", damage[_i].label);
}
END_TEST

Suite *publication_suite(void)
{
    Suite *s = suite_create("publication");
    TCase *t = tcase_create("publication");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_second_person);
    tcase_add_test(t, test_an_approver_was_there_before);
    tcase_add_test(t, test_notice);
    tcase_add_test(t, test_approvers);
    tcase_add_test(t, test_terms);
    tcase_add_loop_test(t, test_damage_is_found, 0, (int)(sizeof damage / sizeof *damage));
    suite_add_tcase(s, t);
    return s;
}
