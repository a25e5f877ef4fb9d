/* billing/archive_drop.c -- what the ledger thread does about an archive: it notes the file, and takes
 * out what is in it, so many rows in each transaction that nobody waits for long.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/archive.h"
#include "billing/archive_inside.h"
#include <string.h>

static const char sql_add[] = "INSERT INTO archive (month, state, file, sha256, bytes, requests,"
                              " from_rid, to_rid, from_tx, to_tx, rollups_sha256, created_us)"
                              " VALUES (?1,'dropping',?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)";
static const char sql_draw[] = "INSERT INTO archived_draw VALUES (?1,?2,?3)";
static const char sql_take[] = "UPDATE billing_period SET archive = ?1"
                               " WHERE id IN (SELECT value FROM json_each(?2))";
static const char sql_open[] = "SELECT id, from_rid, to_rid, from_tx, to_tx FROM archive"
                               " WHERE state = 'dropping' ORDER BY id LIMIT 1";
static const char sql_done[] = "UPDATE archive SET state = 'done' WHERE id = ?1";

/* The row so many rows on, or the last one: looked at are those up to it, whosever they are. */
static const char sql_rid_on[] =
    "SELECT rid FROM (SELECT rid FROM settlement WHERE rid >= ?1 AND rid <= ?2 ORDER BY rid LIMIT ?3)"
    " ORDER BY rid DESC LIMIT 1";
static const char sql_tx_on[] =
    "SELECT tx FROM (SELECT tx FROM ledger_tx WHERE tx >= ?1 AND tx <= ?2 ORDER BY tx LIMIT ?3)"
    " ORDER BY tx DESC LIMIT 1";

#define OF_ARCHIVE(organization, at)                                              \
    "EXISTS (SELECT 1 FROM billing_period b WHERE b.organization = " organization \
    "  AND b.starts_us <= " at " AND b.ends_us > " at " AND b.archive = ?3)"
static const char sql_drop_settlements[] =
    "DELETE FROM settlement WHERE rid BETWEEN ?1 AND ?2 AND " OF_ARCHIVE(
        "(SELECT organization FROM project WHERE id = settlement.project)",
        "settlement.settled_us") " RETURNING rid";
#define LEAVING                                                                      \
    "(SELECT s.rid FROM settlement s WHERE s.rid BETWEEN ?1 AND ?2 AND " OF_ARCHIVE( \
        "(SELECT organization FROM project WHERE id = s.project)", "s.settled_us") ")"
/* What refers to settlements and requests goes before them. */
static const char *const sql_drop_parts[] = { "DELETE FROM attempt WHERE rid IN " LEAVING,
                                              "DELETE FROM resale WHERE rid IN " LEAVING,
                                              "DELETE FROM resale_hold WHERE rid IN " LEAVING,
                                              "DELETE FROM recount WHERE rid IN " LEAVING,
                                              "DELETE FROM hold_more WHERE rid IN " LEAVING };
static const char sql_drop_request[] = "DELETE FROM request_open WHERE rid = ?1";
static const char sql_carry[] =
    "INSERT INTO archived_balance SELECT e.account, ?3, sum(e.atoms) FROM ledger_tx t"
    " JOIN ledger_entry e ON e.tx = t.tx WHERE t.tx BETWEEN ?1 AND ?2 AND t.kind IN " ARCHIVE_TX_KINDS
    " AND " OF_ARCHIVE("t.organization",
                       "t.at_us") " GROUP BY e.account"
                                  " ON CONFLICT DO UPDATE SET atoms = atoms + excluded.atoms";
static const char sql_drop_entries[] =
    "DELETE FROM ledger_entry WHERE tx IN (SELECT t.tx FROM ledger_tx t WHERE t.tx BETWEEN ?1 AND ?2"
    " AND t.kind IN " ARCHIVE_TX_KINDS " AND " OF_ARCHIVE("t.organization", "t.at_us") ")";
static const char sql_drop_txs[] =
    "DELETE FROM ledger_tx WHERE tx BETWEEN ?1 AND ?2 AND kind IN " ARCHIVE_TX_KINDS
    " AND " OF_ARCHIVE("ledger_tx.organization", "ledger_tx.at_us");

/* ---- record -------------------------------------------------------------------------------- */

static enum status add_row(struct db *db, const struct archive *a, int64_t *ret_id)
{
    struct db_stmt *s = db_prepare(db, sql_add);
    if (!s)
        return db_status(db);
    const int64_t numbers[] = {
        a->bytes, a->requests, a->from_rid, a->to_rid, a->from_tx, a->to_tx
    };
    db_text(s, 1, a->month, -1);
    db_text(s, 2, a->file, -1);
    db_text(s, 3, a->sha256, -1);
    for (int i = 0; i < 6; i++)
        db_int(s, 4 + i, numbers[i]);
    db_blob(s, 10, a->rollups_sha256, DIGEST_BYTES);
    db_int(s, 11, a->created_us);
    enum status status = db_run(s);
    *ret_id = db_last_id(db);
    return status;
}

static enum status add_draws(struct db *db, const struct archive *a, int64_t id)
{
    size_t i;
    json_t *draw;
    enum status status = STATUS_OK;
    json_array_foreach (a->draws, i, draw) {
        struct db_stmt *s = status ? NULL : db_prepare(db, sql_draw);
        if (!s)
            return status ? status : db_status(db);
        db_int(s, 1, id);
        db_int(s, 2, json_integer_value(json_array_get(draw, 0)));
        db_int(s, 3, json_integer_value(json_array_get(draw, 1)));
        status = db_run(s);
    }
    return status;
}

static enum status take_periods(struct db *db, const struct archive *a, int64_t id)
{
    struct db_stmt *s = db_prepare(db, sql_take);
    if (!s)
        return db_status(db);
    db_int(s, 1, id);
    db_text(s, 2, a->periods, -1);
    return db_run(s);
}

enum status archive_record(struct db *db, const struct archive *a)
{
    int64_t id = 0;
    enum status s = add_row(db, a, &id);
    if (!s)
        s = add_draws(db, a, id);
    return s ? s : take_periods(db, a, id);
}

/* ---- drop ---------------------------------------------------------------------------------- */

/* 0 in ret->archive: nothing is being dropped. */
static enum status find_open(struct db *db, struct archive_drop *ret)
{
    struct db_stmt *s = db_prepare(db, sql_open);
    if (!s)
        return db_status(db);
    enum db_row row = db_step(s);
    *ret = (struct archive_drop){ 0 };
    if (row == DB_ROW)
        *ret = (struct archive_drop){ .archive = db_col_int(s, 0),
                                      .rid = db_col_int(s, 1),
                                      .to_rid = db_col_int(s, 2),
                                      .tx = db_col_int(s, 3),
                                      .to_tx = db_col_int(s, 4) };
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

/* Of the rows of [from, to] the id of the last one that is looked at now; 0: there is none. */
static enum status look_on(struct db *db, const char *sql, int64_t from, int64_t to, int64_t *ret)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    db_int(s, 1, from);
    db_int(s, 2, to);
    db_int(s, 3, ARCHIVE_DROP_ROWS);
    return db_first_int(db, s, ret);
}

static enum status run_span(struct db *db, const char *sql, int64_t from, int64_t to,
                            int64_t archive)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    db_int(s, 1, from);
    db_int(s, 2, to);
    db_int(s, 3, archive);
    return db_run(s);
}

static enum status drop_request(struct db *db, int64_t rid)
{
    struct db_stmt *s = db_prepare(db, sql_drop_request);
    if (!s)
        return db_status(db);
    db_int(s, 1, rid);
    return db_run(s);
}

/* RETURNING: all settlements are gone before the first row is seen. */
static enum status drop_requests(struct db *db, struct archive_drop *at, int64_t last)
{
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < sizeof sql_drop_parts / sizeof *sql_drop_parts && !status; i++)
        status = run_span(db, sql_drop_parts[i], at->rid, last, at->archive);
    struct db_stmt *s = status ? NULL : db_prepare(db, sql_drop_settlements);
    if (!s)
        return status ? status : db_status(db);
    db_int(s, 1, at->rid);
    db_int(s, 2, last);
    db_int(s, 3, at->archive);
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = drop_request(db, db_col_int(s, 0));
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    at->rid = last + 1;
    return status;
}

static enum status drop_postings(struct db *db, struct archive_drop *at, int64_t last)
{
    enum status s = run_span(db, sql_carry, at->tx, last, at->archive);
    if (!s)
        s = run_span(db, sql_drop_entries, at->tx, last, at->archive);
    if (!s)
        s = run_span(db, sql_drop_txs, at->tx, last, at->archive);
    at->tx = last + 1;
    return s;
}

static enum status finish(struct db *db, struct archive_drop *at)
{
    struct db_stmt *s = db_prepare(db, sql_done);
    if (!s)
        return db_status(db);
    db_int(s, 1, at->archive);
    at->archive = 0; /* the next call looks for another */
    return db_run(s);
}

enum status archive_drop(struct db *db, struct archive_drop *at, bool *ret_done)
{
    int64_t rid = 0, tx = 0;
    enum status s = at->archive ? STATUS_OK : find_open(db, at);
    *ret_done = !s && !at->archive;
    if (s || *ret_done)
        return s;
    s = look_on(db, sql_rid_on, at->rid, at->to_rid, &rid);
    if (!s && rid)
        return drop_requests(db, at, rid);
    if (!s)
        s = look_on(db, sql_tx_on, at->tx, at->to_tx, &tx);
    if (!s && tx)
        return drop_postings(db, at, tx);
    return s ? s : finish(db, at);
}
