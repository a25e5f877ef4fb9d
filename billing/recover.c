/* billing/recover.c -- what a start does with the rows of earlier starts.
 *
 * A request_open without a settlement was in flight when the daemon died.  Where a checkpoint
 * says how far a stream had come, that is charged (orphan; reference/billing.md 3.3, row
 * 24).  Else nothing says what the client received, and nothing is charged (orphan_0; row 23).  Rows below the
 * floor that the last boot left are settled for certain and are not looked at.  All
 * of it is one transaction, so a crash in the middle is recovered by the next start.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/books.h"
#include "billing/checkpoint.h"
#include "billing/recover_rate.h"
#include "billing/resale.h"
#include <string.h>

enum { ORPHANS_AT_ONCE = 16 };

static const char sql_add_boot[] =
    "INSERT INTO boot (started_us, open_floor, settled_us) VALUES (?1,?2,?3)";
static const char sql_last_boot[] =
    "SELECT open_floor, settled_us FROM boot ORDER BY boot DESC LIMIT 1";
static const char sql_last_rid[] =
    "SELECT max(coalesce((SELECT max(rid) FROM request_open), 0),"
    " coalesce((SELECT max(to_rid) FROM archive), 0))"; /* the newest requests may have left */
static const char sql_last_settled[] = "SELECT max(settled_us) FROM settlement WHERE rid >= ?1";
/* Read whole before anything is inserted, so that no scan sees its own work. */
static const char sql_orphans[] =
    "SELECT rid, project, key, o.model, endpoint, price_version, hold_atoms +"
    " (SELECT coalesce(sum(atoms), 0) FROM hold_more m WHERE m.rid = o.rid), accepted_us,"
    " c.model, c.model_served, c.backend, c.amount_atoms, c.lines, c.first_byte_us"
    " FROM request_open o LEFT JOIN checkpoint c USING (rid) WHERE rid >= ?1"
    " AND NOT EXISTS (SELECT 1 FROM settlement s WHERE s.rid = o.rid) ORDER BY rid LIMIT ?2";
static const char sql_forget_checkpoints[] = "DELETE FROM checkpoint";
static const char sql_forget_resale[] = "DELETE FROM resale_checkpoint";

struct last_boot {
    int64_t floor, settled_us;
};

/* The columns of the first row; they stay as they were when there is none or it is NULL. */
static enum status first_row(struct db *db, struct db_stmt *s, int64_t *ret[], int columns)
{
    enum db_row row = db_step(s);
    for (int i = 0; i < columns && row == DB_ROW; i++)
        if (!db_col_null(s, i))
            *ret[i] = db_col_int(s, i);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

static enum status read_last_boot(struct books *b, struct last_boot *last)
{
    struct db_stmt *boot = db_prepare(b->db, sql_last_boot);
    struct db_stmt *rid = db_prepare(b->db, sql_last_rid);
    struct db_stmt *settled = db_prepare(b->db, sql_last_settled);
    if (!boot || !rid || !settled)
        return db_status(b->db);
    int64_t settled_us = 0;
    enum status s = first_row(b->db, boot, (int64_t *[]){ &last->floor, &last->settled_us }, 2);
    if (!s)
        s = first_row(b->db, rid, (int64_t *[]){ &b->last_rid }, 1);
    if (s)
        return s;
    if (last->floor - 1 > b->last_rid) /* those between were lost: restore.c */
        b->last_rid = last->floor - 1;
    /* What was settled after the floor was written lies above it (or lowered it again). */
    db_int(settled, 1, last->floor);
    s = first_row(b->db, settled, (int64_t *[]){ &settled_us }, 1);
    if (settled_us > last->settled_us)
        last->settled_us = settled_us;
    return s;
}

static enum status begin_boot(struct books *b, int64_t now_us)
{
    struct db_stmt *s = db_prepare(b->db, sql_add_boot);
    if (!s)
        return db_status(b->db);
    b->floor_stored = b->floor_written = b->last_rid + 1;
    floor_init(&b->floor, b->floor_stored);
    db_int(s, 1, now_us);
    db_int(s, 2, b->floor_stored);
    db_int(s, 3, b->batch_us);
    enum status status = db_run(s);
    b->boot = db_last_id(b->db);
    return status;
}

/* The names of endpoints are ours; a row with another one is of a store we do not know. */
static bool endpoint_find(const char *name, enum endpoint *ret)
{
    for (unsigned e = 0; e < ENDPOINT_COUNT; e++)
        if (strcmp(endpoint_name((enum endpoint)e), name) == 0) {
            *ret = (enum endpoint)e;
            return true;
        }
    return false;
}

struct orphan {
    struct ledger_settle settle, unpaid; /* by its checkpoint; as if it had none */
    int64_t accepted_us;
    char facts[FACTS_TEXT_BYTES];
};

static bool read_orphan(struct db_stmt *row, int64_t now_us, struct orphan *ret)
{
    struct ledger_settle *t = &ret->settle;
    *t = (struct ledger_settle){
        .op.kind = LEDGER_SETTLE,
        .rid = db_col_int(row, 0),
        .project = db_col_int(row, 1),
        .key = db_col_int(row, 2),
        .model = db_col_int(row, 3),
        .model_served = db_col_int(row, 3),
        .price_version = db_col_int(row, 5),
        .hold.atoms = db_col_int(row, 6),
        .outcome = OUTCOME_ORPHAN_0,
        .evidence = EVIDENCE_NONE,
        .first_byte_us = -1,
    };
    ret->accepted_us = db_col_int(row, 7);
    int64_t age_us = now_us - ret->accepted_us;
    t->duration_us = age_us > 0 ? age_us : 0;
    const char *endpoint = db_col_text(row, 4, NULL);
    if (!endpoint || !endpoint_find(endpoint, &t->endpoint))
        return false;
    ret->unpaid = *t;
    checkpoint_read(row, 8, t, ret->facts);
    return true;
}

/* At most ORPHANS_AT_ONCE of them, from `from` on; *ret_count of them. */
static enum status read_orphans(struct books *b, rid_t from, struct orphan *orphans,
                                unsigned *ret_count)
{
    struct db_stmt *s = db_prepare(b->db, sql_orphans);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, from);
    db_int(s, 2, ORPHANS_AT_ONCE);
    *ret_count = 0;
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        if (*ret_count == ORPHANS_AT_ONCE || !read_orphan(s, b->batch_us, &orphans[*ret_count]))
            status = STATUS_STORE_FAILED;
        else
            ++*ret_count;
    if (row == DB_FAILED)
        status = db_status(b->db);
    db_reset(s);
    return status;
}

/* Of both legs of what is resold, or of neither. */
static enum status rate_retail(struct books *b, struct recover_sheet *sheet, struct orphan *o,
                               struct orphan *retail, bool *ret_found)
{
    struct ledger_settle *t = &o->settle;
    enum status s = resale_orphan(b, t, &retail->settle, retail->facts, ret_found);
    if (s || !*ret_found || t->outcome != OUTCOME_ORPHAN)
        return s;
    s = recover_rate(sheet, b, o->accepted_us, &retail->settle);
    if (s != STATUS_BAD_FIELD)
        return s;
    *t = o->unpaid;
    return resale_orphan(b, t, &retail->settle, retail->facts, ret_found);
}

static enum status settle_orphan(struct books *b, struct recover_sheet sheets[static 2],
                                 struct orphan *o)
{
    struct ledger_settle *t = &o->settle;
    struct orphan retail;
    bool found = false;
    enum status s =
        t->outcome == OUTCOME_ORPHAN ? recover_rate(&sheets[0], b, o->accepted_us, t) : STATUS_OK;
    if (s == STATUS_BAD_FIELD)
        *t = o->unpaid;
    else if (s)
        return s;
    s = rate_retail(b, &sheets[1], o, &retail, &found);
    if (s)
        return s;
    t->resale = found ? &retail.settle : NULL;
    s = books_adopt(b, t) ? books_settle(b, t) : STATUS_STORE_FAILED;
    t->resale = NULL;
    return s;
}

static enum status settle_orphans(struct books *b, struct orphan *orphans, unsigned count)
{
    struct recover_sheet sheets[2] = { { .words = NULL } }; /* of each leg */
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < count && !s; i++)
        s = settle_orphan(b, sheets, &orphans[i]);
    recover_sheet_free(&sheets[0]);
    recover_sheet_free(&sheets[1]);
    return s;
}

static enum status recover(struct books *b, rid_t floor, uint64_t *ret_recovered)
{
    struct orphan orphans[ORPHANS_AT_ONCE];
    unsigned count = 0;
    do {
        enum status s = read_orphans(b, floor, orphans, &count);
        if (!s)
            s = settle_orphans(b, orphans, count);
        if (s)
            return s;
        *ret_recovered += count;
        if (count)
            floor = orphans[count - 1].settle.rid + 1;
    } while (count == ORPHANS_AT_ONCE);
    floor_init(&b->floor, b->floor_stored); /* nothing older is open any more */
    struct db_stmt *forget = db_prepare(b->db, sql_forget_checkpoints);
    struct db_stmt *resale = db_prepare(b->db, sql_forget_resale);
    enum status s = forget && resale ? db_run(forget) : db_status(b->db);
    return s ? s : db_run(resale);
}

struct opening { /* for the transaction's body */
    struct books *books;
    int64_t now_us;
    uint64_t recovered;
};

static enum status open_body(struct db *db, void *arg)
{
    struct opening *o = arg;
    struct books *b = o->books;
    struct last_boot last = { 0, 0 };
    enum status s = read_last_boot(b, &last);
    if (s)
        return s;
    b->batch_us = last.settled_us;
    books_begin(b, o->now_us);
    s = books_reload(b);
    if (!s)
        s = budgets_load_spent(&b->budgets, db, b->batch_us);
    if (!s)
        s = counted_load(&b->counted, db, b->batch_us);
    if (!s)
        s = begin_boot(b, o->now_us);
    if (!s)
        s = recover(b, last.floor, &o->recovered);
    return s ? s : books_end(b);
}

enum status books_open(struct books *b, struct db *db, int64_t now_us, uint64_t *ret_recovered)
{
    struct opening o = { .books = b, .now_us = now_us };
    b->db = db;
    enum status s = books_prepare(b);
    if (!s)
        s = db_tx(db, open_body, &o);
    if (s)
        return s;
    books_committed(b);
    *ret_recovered = o.recovered;
    return STATUS_OK;
}
