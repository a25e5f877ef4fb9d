/* tests/unit/test_counted.c -- prices by the period in the ledger: each settlement is rated by what
 * was used before it, across restarts, versions of the book and failed commits. */
#include "base/arena.h"
#include "base/digest.h"
#include "billing/counted.h"
#include "billing/price.h"
#include "billing/pricebook.h"
#include "tests/helpers/badfs.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAYS(n) ((n)*INT64_C(86400000000))

static struct fixture f;
static struct arena *arena;
static int64_t project;

/* Ten are included, then ten at 100, then all at 60. */
#define TIERS(first, second)                                         \
    "base/chat characters included 10\n"                             \
    "base/chat characters graduated 10:" first "/1,*:" second "/1\n" \
    "base/chat images package 500/5\n"                               \
    "base/chat requests flat 7/period\n"

static const char *const books[] = { TIERS("100", "60"), TIERS("90", "50") };

static enum status publish(struct ledger_call *call, struct db *db, int64_t now_us)
{
    const char *book = call->arg;
    uint8_t sha256[32];
    int64_t version;
    digest_sha256(book, strlen(book), sha256);
    return ledger_publish_prices(db, "b", "USD", book, sha256, now_us, &version);
}

/* Version 2 is the first of `books`, 3 the second. */
static void publish_books(void)
{
    for (int i = 0; i < 2; i++) {
        struct ledger_call call = { .op.kind = LEDGER_CALL,
                                    .run = publish,
                                    .arg = (void *)(uintptr_t)books[i] };
        ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    }
}

static void setup(void)
{
    arena = arena_new(1 << 20);
    fixture_init(&f);
    fixture_catalog(&f);
    project = fixture_project(&f, "acme", 1000 * MONEY_ATOMS_PER_UNIT, "month");
    publish_books();
}

static void teardown(void)
{
    fixture_free(&f);
    arena_free(arena);
}

struct used {
    unsigned book;
    uint64_t characters, images;
};

static struct price_facts facts;

/* As the gateway does it: the most is held, and the bill is that of a first request. */
static void prepare(const struct used *u, struct ledger_hold *h, struct ledger_settle *s,
                    const struct price_sheet **sheet)
{
    struct usage usage = { .present = 0 };
    struct price_bill bill;
    money_t most;
    ck_assert_int_eq(pricebook_sheet(books[u->book], "base/chat", arena, sheet), STATUS_OK);
    struct price_list list = { .priced =
                                   METER_BIT(CHARACTERS) | METER_BIT(IMAGES) | METER_BIT(REQUESTS),
                               .sheet = *sheet,
                               .facts = &facts };
    const struct price_bound bound = { .characters_max = u->characters, .images_max = u->images };
    usage_set(&usage, METER_REQUESTS, 1);
    usage_set(&usage, METER_CHARACTERS, u->characters);
    usage_set(&usage, METER_IMAGES, u->images);
    ck_assert_int_eq(price_upper_bound(&list, &bound, &most), STATUS_OK);
    ck_assert_int_eq(price_rate(&list, &usage, &bound, &bill), STATUS_OK);
    *h = fixture_hold_of(&f, project, most.atoms);
    h->price_version = 2 + u->book;
    *s = fixture_settle_of(h, 0, 0);
    memcpy(s->lines, bill.lines, bill.count * sizeof *bill.lines);
    s->line_count = bill.count;
    s->amount = bill.amount;
    s->facts = "{\"context\":0}";
    s->sheet = *sheet;
    s->chosen_by = &facts;
}

static int64_t settle(struct used u)
{
    struct ledger_hold h;
    struct ledger_settle s;
    const struct price_sheet *sheet;
    prepare(&u, &h, &s, &sheet);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ck_assert_int_eq(fixture_settle(&f, &s), STATUS_OK);
    return s.amount.atoms;
}

START_TEST(test_one_after_the_other)
{
    ck_assert_int_eq(settle((struct used){ 0, 6, 0 }),
                     7); /* the flat amount, and all is included */
    ck_assert_int_eq(settle((struct used){ 0, 6, 1 }), 2 * 100 + 500);
    ck_assert_int_eq(settle((struct used){ 0, 10, 4 }), 8 * 100 + 2 * 60);
    ck_assert_int_eq(settle((struct used){ 0, 1, 1 }), 60 + 500);
    fixture_audit_clean(&f);
    ck_assert_int_eq(fixture_int(&f, "SELECT sum(qty) FROM usage_rollup WHERE meter = 7"), 23);
    ck_assert_int_eq(
        fixture_int(&f, "SELECT sum(qty) FROM usage_rollup WHERE meter = 7 AND item = 0"), 10);
}
END_TEST

START_TEST(test_a_start_goes_on)
{
    settle((struct used){ 0, 15, 3 });
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_eq(settle((struct used){ 0, 6, 3 }), 5 * 100 + 60 + 500);
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_eq(settle((struct used){ 0, 1, 4 }), 60);
    fixture_audit_clean(&f);
}
END_TEST

/* R5: the tiers go on, at the amounts of the version that a request was accepted under. */
START_TEST(test_a_new_version_goes_on)
{
    settle((struct used){ 0, 15, 3 });
    ck_assert_int_eq(settle((struct used){ 1, 6, 3 }), 5 * 90 + 50 + 500);
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_eq(settle((struct used){ 1, 1, 0 }), 50);
    ck_assert_int_eq(settle((struct used){ 0, 1, 0 }), 60); /* accepted before the change */
    fixture_audit_clean(&f);
}
END_TEST

START_TEST(test_a_new_period_begins_anew)
{
    settle((struct used){ 0, 15, 3 });
    f.wall_us += DAYS(20);
    ck_assert_int_eq(settle((struct used){ 0, 11, 1 }), 7 + 100 + 500);
    fixture_close(&f);
    fixture_open(&f);
    ck_assert_int_eq(settle((struct used){ 0, 1, 0 }), 100);
    fixture_audit_clean(&f);
}
END_TEST

START_TEST(test_organisations_do_not_share)
{
    int64_t first = project;
    settle((struct used){ 0, 30, 0 });
    project = fixture_project(&f, "beta", 1000 * MONEY_ATOMS_PER_UNIT, "month");
    ck_assert_int_eq(settle((struct used){ 0, 11, 0 }), 7 + 100);
    project = first;
    ck_assert_int_eq(settle((struct used){ 0, 1, 0 }), 60);
    fixture_audit_clean(&f);
}
END_TEST

/* ---- a commit that fails ------------------------------------------------------------------- */

static enum status fill_disk(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call, (void)db, (void)now_us;
    badfs_break(BADFS_WRITE, 1, SQLITE_FULL);
    return STATUS_OK;
}

static _Atomic int settled;

static void note_settled(struct ledger_op *op)
{
    ck_assert_int_eq(op->status, STATUS_OK);
    settled++;
}

static void make_room(struct ledger_op *op)
{
    (void)op;
    badfs_heal();
}

/* Two settlements are rated, rolled back and rated again: nothing is counted twice. */
START_TEST(test_a_full_disk)
{
    const struct used first = { 0, 15, 3 }, second = { 0, 6, 3 };
    struct ledger_hold h, g;
    struct ledger_settle s, t;
    const struct price_sheet *sheet, *other;
    prepare(&first, &h, &s, &sheet);
    prepare(&second, &g, &t, &other);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    ck_assert_int_eq(fixture_hold(&f, &g), STATUS_OK);
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = fill_disk };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    s.op.done = t.op.done = note_settled;
    ledger_submit(f.ledger, &s.op);
    ledger_submit(f.ledger, &t.op);
    while (ledger_healthy(f.ledger))
        usleep(1000);
    struct ledger_hold refused = fixture_hold_of(&f, project, 1);
    refused.op.done = make_room;
    ledger_submit(f.ledger, &refused.op);
    while (settled < 2)
        usleep(1000);
    ck_assert_int_eq(s.amount.atoms, 7 + 5 * 100 + 500);
    ck_assert_int_eq(t.amount.atoms, 5 * 100 + 60 + 500);
    ck_assert_int_eq(t.lines[2].before, 5); /* of the tiers: what was included is not among them */
}
END_TEST

static const struct {
    const char *label, *from, *to;
} damage[] = {
    { "a count twice", "[7,2,200,1]", "[7,2,200,1,1]" },
    { "a gap", "[7,8,800,1,2]", "[7,8,740,1,3]" },
    { "free again", "[7,4,0,0,6]", "[7,4,0]" },
};

START_TEST(test_damage)
{
    char sql[256];
    settle((struct used){ 0, 6, 0 });
    settle((struct used){ 0, 6, 0 });
    settle((struct used){ 0, 8, 0 });
    fixture_audit_clean(&f);
    fixture_close(&f);
    snprintf(sql, sizeof sql,
             "DROP TRIGGER settlement_stays_u; UPDATE settlement SET lines = replace(lines, '%s', "
             "'%s')",
             damage[_i].from, damage[_i].to);
    fixture_tamper(&f, sql);
    ck_assert_msg(fixture_audit_problems(&f) > 0, "%s was not found", damage[_i].label);
}
END_TEST

START_TEST(test_table)
{
    struct counted c = { 0 };
    ck_assert_int_eq(counted_units(&c, &(struct counted_key){ 1, 1, 1 }, 0), 0);
    for (int64_t i = 1; i <= 1000; i++) {
        const struct counted_key k = { 1 + i % 7, 1 + i / 7, (uint64_t)i * 977 };
        ck_assert(counted_reserve(&c, &k) && counted_reserve(&c, &k));
        counted_add(&c, &k, 5, i);
        counted_add(&c, &k, 5, 1);
        counted_take_back(&c, &k, 5, 2);
        counted_take_back(&c, &k, 4, 100); /* of another period: nothing */
    }
    ck_assert_uint_eq(c.count, 1000);
    for (int64_t i = 1; i <= 1000; i++) {
        const struct counted_key k = { 1 + i % 7, 1 + i / 7, (uint64_t)i * 977 };
        ck_assert_int_eq(counted_units(&c, &k, 5), i - 1);
        ck_assert_int_eq(counted_units(&c, &k, 6), 0);
    }
    counted_free(&c);
}
END_TEST

Suite *counted_suite(void)
{
    Suite *s = suite_create("counted");
    TCase *t = tcase_create("counted");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_one_after_the_other);
    tcase_add_test(t, test_a_start_goes_on);
    tcase_add_test(t, test_a_new_version_goes_on);
    tcase_add_test(t, test_a_new_period_begins_anew);
    tcase_add_test(t, test_organisations_do_not_share);
    tcase_add_test(t, test_a_full_disk);
    tcase_add_loop_test(t, test_damage, 0, sizeof damage / sizeof *damage);
    tcase_add_test(t, test_table);
    suite_add_tcase(s, t);
    return s;
}
