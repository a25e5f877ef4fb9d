/* tests/unit/test_recover.c -- the daemon dies, the disk fails, the disk is full:
 * what was answered OK is there afterwards, nothing is charged twice, and the books
 * are clean.
 */
#include "tests/helpers/badfs.h"
#include "tests/helpers/books_fixture.h"
#include <check.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNIT MONEY_ATOMS_PER_UNIT

static struct fixture f;

static void teardown(void)
{
    fixture_close(&f);
    fixture_audit_clean(&f);
    fixture_free(&f);
}

/* ---- kill -9 ------------------------------------------------------------------------------- */

enum { KILLS = 30, SLOTS = 64 };

struct record { /* what the child was told; written to the pipe after the commit */
    rid_t rid;
    int64_t settled; /* 0: held */
};

static struct slot {
    struct ledger_hold hold;
    struct ledger_settle settle;
} slots[SLOTS];
static int journal[2];

static void tell(rid_t rid, bool settled)
{
    struct record r = { rid, settled };
    if (write(journal[1], &r, sizeof r) != sizeof r)
        _exit(1);
}

static void child_hold(struct slot *s);

static void child_settled(struct ledger_op *op)
{
    struct slot *s = (struct slot *)((char *)op - offsetof(struct slot, settle));
    if (op->status != STATUS_OK)
        _exit(2);
    tell(s->settle.rid, true);
    child_hold(s);
}

static void child_held(struct ledger_op *op)
{
    struct slot *s = (struct slot *)op;
    if (op->status != STATUS_OK)
        _exit(3);
    tell(s->hold.rid, false);
    s->settle = fixture_settle_of(&s->hold, 10, (uint64_t)s->hold.rid % 3);
    s->settle.op.done = child_settled;
    ledger_submit(f.ledger, &s->settle.op);
}

static void child_prepare(struct slot *s)
{
    s->hold = fixture_hold_of(&f, 1, 1000000);
    s->hold.op.done = child_held;
}

static void child_hold(struct slot *s)
{
    child_prepare(s);
    ledger_submit(f.ledger, &s->hold.op);
}

static _Noreturn void child(void)
{
    close(journal[0]);
    fixture_open(&f);
    for (unsigned i = 0; i < SLOTS; i++)
        child_prepare(&slots[i]);
    for (unsigned i = 0; i < SLOTS; i++) /* from the first on the fixture is the ledger thread's */
        ledger_submit(f.ledger, &slots[i].hold.op);
    for (;;)
        pause();
}

/* Reads `enough` records, kills, and reads what was still told before. */
static void run_and_kill(unsigned enough, struct record *told, unsigned *count)
{
    ck_assert_int_eq(pipe(journal), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        child();
    close(journal[1]);
    unsigned before = *count;
    while (read(journal[0], &told[*count], sizeof *told) == (ssize_t)sizeof *told)
        if (++*count - before == enough)
            kill(pid, SIGKILL);
    close(journal[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended: %d",
                  status);
}

static void check_told(const struct record *told, unsigned count)
{
    static const char held[] = "SELECT count(*) FROM request_open WHERE rid = ?1";
    static const char settled[] =
        "SELECT count(*) FROM settlement WHERE rid = ?1 AND outcome = 'ok'";
    struct db *db = fixture_reader(&f);
    for (unsigned i = 0; i < count; i++) {
        struct db_stmt *s = db_prepare(db, told[i].settled ? settled : held);
        db_int(s, 1, told[i].rid);
        ck_assert_int_eq(db_step(s), DB_ROW);
        ck_assert_msg(db_col_int(s, 0) == 1, "request %lld is missing", (long long)told[i].rid);
        db_reset(s);
    }
    db_close(db);
}

START_TEST(test_kill_9)
{
    enum { TOLD_MAX = 400000 };
    static struct record told[TOLD_MAX];
    unsigned count = 0;
    uint64_t seed = 20261115;
    fixture_init(&f);
    fixture_catalog(&f);
    fixture_project(&f, "p", MONEY_ATOMS_MAX, "month");
    fixture_close(&f);
    for (unsigned round = 0; round < KILLS; round++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        run_and_kill(1 + (unsigned)(seed >> 33) % 1500, told, &count);
        if (round % 3 == 2)
            continue; /* the next child recovers */
        fixture_open(&f);
        ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM request_open o WHERE NOT EXISTS"
                                         " (SELECT 1 FROM settlement s WHERE s.rid = o.rid)"),
                         0);
        fixture_audit_clean(&f);
        fixture_close(&f);
        check_told(told, count);
    }
    ck_assert_int_eq(fixture_int(&f, "SELECT count(*) FROM settlement"
                                     " WHERE outcome = 'orphan_0' AND amount_atoms <> 0"),
                     0);
    ck_assert_int_gt(fixture_int(&f, "SELECT count(*) FROM settlement"
                                     " WHERE outcome = 'orphan_0'"),
                     0);
}
END_TEST

/* ---- what a start looks at ----------------------------------------------------------------- */

START_TEST(test_orphans_are_settled_with_nothing_and_once)
{
    fixture_init(&f);
    fixture_catalog(&f);
    int64_t poor = fixture_project(&f, "poor", 100, "total");
    struct ledger_hold h = fixture_hold_of(&f, poor, 100);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    for (int i = 0; i < 3; i++) {
        fixture_close(&f);
        fixture_open(&f);
        ck_assert_uint_eq(ledger_stats(f.ledger)->recovered, i == 0);
    }
    ck_assert_int_eq(fixture_int(&f, "SELECT amount_atoms = 0 AND evidence = 'none'"
                                     " FROM settlement WHERE outcome = 'orphan_0'"),
                     1);
    struct ledger_settle late = fixture_settle_of(&h, 0, 0);
    ck_assert_int_eq(fixture_settle(&f, &late), STATUS_CONFLICT);
    h = fixture_hold_of(&f, poor, 100);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK); /* the whole budget is there again */
}
END_TEST

/* ---- the disk fails ------------------------------------------------------------------------ */

struct fault {
    enum badfs_call call;
    unsigned nth;
    int rc;
};

/* On the ledger's thread, so that nothing is written between. */
static enum status break_disk(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)db;
    (void)now_us;
    const struct fault *fault = call->arg;
    badfs_break(fault->call, fault->nth, fault->rc);
    return STATUS_OK;
}

enum { SCRIPT = 6 };

/* Six requests one after the other; which of them were held and settled. */
static void run_script(int64_t project, struct record *told, unsigned *count)
{
    for (unsigned i = 0; i < SCRIPT; i++) {
        struct ledger_hold h = fixture_hold_of(&f, project, 250000);
        if (fixture_hold(&f, &h) != STATUS_OK)
            continue;
        told[(*count)++] = (struct record){ h.rid, 0 };
        struct ledger_settle s = fixture_settle_of(&h, 10, 0);
        if (fixture_settle(&f, &s) == STATUS_OK)
            told[(*count)++] = (struct record){ h.rid, 1 };
    }
}

static const struct fault faults[] = {
    { BADFS_WRITE, 0, SQLITE_IOERR_WRITE },
    { BADFS_SYNC, 0, SQLITE_IOERR_FSYNC },
};

START_TEST(test_a_broken_disk_ends_the_ledger)
{
    static struct record told[4096];
    unsigned count = 0;
    fixture_init(&f);
    fixture_catalog(&f);
    int64_t project = fixture_project(&f, "p", UNIT, "total");
    for (struct fault fault = faults[_i];;) {
        fault.nth++;
        unsigned before = count;
        struct ledger_call call = { .op.kind = LEDGER_CALL, .run = break_disk, .arg = &fault };
        ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
        run_script(project, told, &count);
        bool whole = count - before == 2 * SCRIPT;
        ck_assert_int_eq(ledger_healthy(f.ledger), whole);
        fixture_close(&f);
        badfs_heal();
        fixture_open(&f);
        fixture_audit_clean(&f);
        check_told(told, count);
        if (whole)
            break;
        ck_assert_uint_lt(fault.nth, 500);
    }
}
END_TEST

/* ---- the disk is full ---------------------------------------------------------------------- */

static bool has_reserve(void)
{
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/ledger.reserve", f.dir);
    return stat(path, &st) == 0 && st.st_size == 16 << 20;
}

static _Atomic int refused, settled;

static void note_settled(struct ledger_op *op)
{
    ck_assert_int_eq(op->status, STATUS_OK);
    settled++;
}

static void make_room(struct ledger_op *op)
{
    ck_assert_int_eq(op->status, STATUS_STORE_FAILED);
    refused++;
    badfs_heal();
}

START_TEST(test_a_full_disk_refuses_holds_and_keeps_settlements)
{
    fixture_init(&f);
    fixture_catalog(&f);
    int64_t project = fixture_project(&f, "p", 1000000, "total");
    ck_assert(has_reserve());
    struct ledger_hold h = fixture_hold_of(&f, project, 500000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);

    struct fault full = { BADFS_WRITE, 1, SQLITE_FULL };
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = break_disk, .arg = &full };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    struct ledger_settle s = fixture_settle_of(&h, 10, 0);
    s.op.done = note_settled;
    ledger_submit(f.ledger, &s.op);
    while (ledger_healthy(f.ledger))
        usleep(1000);
    ck_assert(!has_reserve());
    ck_assert_int_eq(settled, 0); /* kept, not failed */
    struct ledger_hold refusal = fixture_hold_of(&f, project, 1);
    refusal.op.done = make_room;
    ledger_submit(f.ledger, &refusal.op);
    while (settled == 0)
        usleep(1000);
    ck_assert_int_eq(refused, 1);

    struct ledger_hold next; /* once the reserve is back, holds are taken again */
    do {
        f.mono_ns += INT64_C(2000000000);
        next = fixture_hold_of(&f, project, 750000);
    } while (fixture_hold(&f, &next) == STATUS_STORE_FAILED);
    ck_assert_int_eq(next.op.status, STATUS_OK); /* 1000000 - 250000 settled, nothing else held */
    ck_assert(has_reserve() && ledger_healthy(f.ledger));
}
END_TEST

START_TEST(test_a_disk_that_stays_full_leaves_it_to_recovery)
{
    fixture_init(&f);
    fixture_catalog(&f);
    int64_t project = fixture_project(&f, "p", 1000000, "total");
    struct ledger_hold h = fixture_hold_of(&f, project, 500000);
    ck_assert_int_eq(fixture_hold(&f, &h), STATUS_OK);
    struct fault full = { BADFS_WRITE, 1, SQLITE_FULL };
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = break_disk, .arg = &full };
    ck_assert_int_eq(fixture_submit(&f, &call.op), STATUS_OK);
    struct ledger_settle s = fixture_settle_of(&h, 10, 0);
    s.op.done = make_room; /* asserts STORE_FAILED */
    ledger_submit(f.ledger, &s.op);
    fixture_close(&f);
    ck_assert_int_eq(refused, 1);
    fixture_open(&f);
    ck_assert_uint_eq(ledger_stats(f.ledger)->recovered, 1);
}
END_TEST

Suite *recover_suite(void);
Suite *recover_suite(void)
{
    Suite *s = suite_create("recover");
    TCase *t = tcase_create("recover");
    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_set_timeout(t, 240);
    tcase_add_test(t, test_kill_9);
    tcase_add_test(t, test_orphans_are_settled_with_nothing_and_once);
    tcase_add_loop_test(t, test_a_broken_disk_ends_the_ledger, 0, sizeof faults / sizeof faults[0]);
    tcase_add_test(t, test_a_full_disk_refuses_holds_and_keeps_settlements);
    tcase_add_test(t, test_a_disk_that_stays_full_leaves_it_to_recovery);
    suite_add_tcase(s, t);
    return s;
}
