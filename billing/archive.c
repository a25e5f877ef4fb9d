/* billing/archive.c -- a month as a store of its own.
 *
 * Rows are read by a read-only connection, a few thousand in each read transaction, and written into a
 * new file of the same schema: closed periods do not change meanwhile.  The file says nothing that the
 * audit cannot compute from its rows, so the same audit proves it.
 */
#include "billing/archive.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/db_list.h"
#include "base/rid.h"
#include "billing/archive_inside.h"
#include "billing/period.h"
#include "billing/report.h"
#include "gen/schema.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

enum { ROWS_AT_ONCE = 5000, INSERT_BYTES = 256 };

/* ?1: ids of the periods; ?2, ?3: their first and last instant; ?4: a row to go on behind; ?5: how
 * many at most.  A row with `key` is read in pieces: its first column grows. */
#define PERIODS "(SELECT value FROM json_each(?1))"
#define PAYERS  "(SELECT organization FROM billing_period WHERE id IN " PERIODS ")"
#define SETTLED(more)                                                                            \
    "settlement s CROSS JOIN project p ON p.id = s.project CROSS JOIN billing_period b"          \
    " ON b.organization = p.organization AND b.starts_us <= s.settled_us"                        \
    " AND b.ends_us > s.settled_us AND b.id IN " PERIODS more " WHERE s.rid > ?4 AND s.rid < ?6" \
    " ORDER BY s.rid LIMIT ?5"
#define POSTED                                                                   \
    "ledger_tx t CROSS JOIN billing_period b ON b.organization = t.organization" \
    " AND b.starts_us <= t.at_us AND b.ends_us > t.at_us AND b.id IN " PERIODS   \
    " WHERE t.tx > ?4 AND t.kind IN " ARCHIVE_TX_KINDS " ORDER BY t.tx LIMIT ?5"
#define USED                                                                                    \
    "(SELECT price_version FROM usage_rollup WHERE hour_us >= ?2 - 3600000000 AND hour_us < ?3" \
    " AND period IN " PERIODS ")"
#define INVOICED "(SELECT number FROM document WHERE type = 380 AND period IN " PERIODS ")"

static const struct table {
    const char *name, *select;
    bool pieces;
} tables[] = {
    { "meta", "SELECT * FROM meta", false },
    { "boot", "SELECT * FROM boot", false },
    { "restoration", "SELECT * FROM restoration", false },
    { "name", "SELECT * FROM name", false },
    { "price_version",
      "SELECT * FROM price_version WHERE id IN " USED " OR id IN (SELECT list_version FROM"
      " price_layer WHERE price_version IN " USED ") OR id IN (SELECT own_version FROM price_layer"
      " WHERE price_version IN " USED ")",
      false },
    { "price_layer", "SELECT * FROM price_layer WHERE price_version IN " USED, false },
    { "cost_version", "SELECT * FROM cost_version", false },
    { "organization", "SELECT * FROM organization WHERE id IN " PAYERS, false },
    { "project", "SELECT * FROM project WHERE organization IN " PAYERS, false },
    { "seller", "SELECT * FROM seller WHERE organization IN " PAYERS, false },
    { "contract", "SELECT * FROM contract WHERE organization IN " PAYERS, false },
    { "fund",
      "SELECT * FROM fund WHERE organization IN " PAYERS
      " AND (period IS NULL OR period IN " PERIODS ")",
      false },
    { "charge",
      "SELECT c.* FROM charge c JOIN billing_period b ON b.organization = c.organization"
      " AND c.at_us >= b.starts_us AND c.at_us < b.ends_us WHERE b.id IN " PERIODS,
      false },
    { "request_open", "SELECT o.* FROM " SETTLED(" CROSS JOIN request_open o ON o.rid = s.rid"),
      true },
    { "hold_more",
      "SELECT m.* FROM hold_more m WHERE m.rid IN (SELECT s.rid FROM " SETTLED(
          " CROSS JOIN hold_more h ON h.rid = s.rid AND h.leg = 1") ") ORDER BY m.rid, m.leg",
      true },
    { "settlement", "SELECT s.* FROM " SETTLED(""), true },
    { "recount", "SELECT c.* FROM " SETTLED(" CROSS JOIN recount c ON c.rid = s.rid"), true },
    { "attempt",
      "SELECT a.* FROM attempt a WHERE a.rid IN (SELECT s.rid FROM " SETTLED(
          " CROSS JOIN attempt t ON t.rid = s.rid AND t.number = 1") ") ORDER BY a.rid, a.number",
      true },
    { "resale_hold", "SELECT h.* FROM " SETTLED(" CROSS JOIN resale_hold h ON h.rid = s.rid"),
      true },
    { "resale", "SELECT x.* FROM " SETTLED(" CROSS JOIN resale x ON x.rid = s.rid"), true },
    { "ledger_tx", "SELECT t.* FROM " POSTED, true },
    { "ledger_entry", "SELECT e.* FROM ledger_entry e WHERE e.tx IN (SELECT t.tx FROM " POSTED ")",
      true },
    { "usage_rollup",
      "SELECT * FROM usage_rollup WHERE hour_us >= ?2 - 3600000000 AND hour_us < ?3"
      " AND period IN " PERIODS,
      false },
    { "cost_rollup",
      "SELECT * FROM cost_rollup WHERE hour_us >= ?2 - 3600000000 AND hour_us < ?3"
      " AND period IN " PERIODS,
      false },
    { "settled_minute",
      "SELECT * FROM settled_minute WHERE minute_us >= ?2 - 60000000 AND minute_us < ?3", false },
    { "document", "SELECT * FROM document WHERE type = 380 AND period IN " PERIODS, false },
    { "ledger_tx", "SELECT * FROM ledger_tx WHERE kind = 'invoice' AND ref IN " INVOICED, false },
    { "ledger_entry",
      "SELECT e.* FROM ledger_tx t JOIN ledger_entry e ON e.tx = t.tx"
      " WHERE t.kind = 'invoice' AND t.ref IN " INVOICED,
      false },
    { "billing_period", "SELECT * FROM billing_period WHERE id IN " PERIODS, false },
};
enum { TABLES = sizeof tables / sizeof *tables };

static const char sql_span[] =
    "SELECT min(starts_us), max(ends_us) FROM billing_period WHERE id IN " PERIODS;
static const char sql_periods_told[] =
    "SELECT o.slug, b.starts_us, b.ends_us, d.number FROM billing_period b JOIN organization o"
    " ON o.id = b.organization JOIN document d ON d.period = b.id AND d.type = 380 ORDER BY 1, 2";
static const char sql_extent[] =
    "SELECT (SELECT count(*) FROM settlement), (SELECT min(rid) FROM settlement),"
    " (SELECT max(rid) FROM settlement), coalesce(min(tx), 0), coalesce(max(tx), 0)"
    " FROM ledger_tx WHERE kind IN " ARCHIVE_TX_KINDS;
/* What is resold has two payers, whose months may end at different instants: then it stays, as both legs
 * leave together.   ?4, ?5: what ids may be of it. */
static const char sql_split[] =
    "SELECT EXISTS (SELECT 1 FROM resale x JOIN settlement s ON s.rid = x.rid"
    " JOIN project p ON p.id = x.project JOIN project w ON w.id = s.project"
    " WHERE x.rid >= ?4 AND x.rid < ?5 AND"
    " EXISTS (SELECT 1 FROM billing_period b WHERE b.organization = p.organization"
    "  AND b.starts_us <= s.settled_us AND b.ends_us > s.settled_us AND b.id IN " PERIODS ") <>"
    " EXISTS (SELECT 1 FROM billing_period b WHERE b.organization = w.organization"
    "  AND b.starts_us <= s.settled_us AND b.ends_us > s.settled_us AND b.id IN " PERIODS "))";
static const char sql_draws[] = "SELECT fund, drawn_atoms FROM fund_balance WHERE drawn_atoms > 0";
static const char sql_no_references[] = "PRAGMA foreign_keys=OFF"; /* until all is there */
static const char sql_no_wal[] =
    "PRAGMA journal_mode=DELETE"; /* one file, also where nobody may write */
/* What the ledger keeps beside the rows, of these rows alone. */
static const char *const sums[] = {
    "UPDATE account_balance SET posted_atoms = s.atoms FROM (SELECT account, sum(atoms) AS atoms"
    " FROM ledger_entry GROUP BY account) s WHERE s.account = account_balance.account",
    "INSERT INTO project_spent SELECT project, sum(amount_atoms) FROM (SELECT project, amount_atoms"
    " FROM settlement UNION ALL SELECT project, amount_atoms FROM resale) GROUP BY project"
    " HAVING sum(amount_atoms) > 0",
    "UPDATE fund_balance SET drawn_atoms = d.atoms FROM (SELECT j.value ->> 0 AS fund,"
    " sum(j.value ->> 1) AS atoms FROM (SELECT draws FROM settlement UNION ALL SELECT draws"
    " FROM resale) s, json_each(s.draws) j WHERE s.draws IS NOT NULL GROUP BY 1) d"
    " WHERE d.fund = fund_balance.fund",
};
static const char sql_self[] =
    "INSERT INTO archive SELECT 1, ?1, 'file', '', '', 0, count(*), coalesce(min(rid), 0),"
    " coalesce(max(rid), 0), 0, 0, zeroblob(32), ?2 FROM settlement";

struct work {
    struct archive *a;
    struct db *live, *out;
    const atomic_bool *stop;
    int64_t from_us, to_us, end_rid;
    char part[FILE_PATH_BYTES];
    char insert[TABLES][INSERT_BYTES]; /* prepared by address: lives as long as `out` */
    json_t *periods;                   /* for the manifest */
    char *err;
};

void archive_clear(struct archive *a)
{
    free(a->periods);
    json_decref(a->draws);
    *a = (struct archive){ 0 };
}

static enum status failed(struct work *w, struct db *db, const char *what)
{
    snprintf(w->err, 256, "%.60s: %.180s", what, db_error(db));
    enum status s = db_status(db);
    return s ? s : STATUS_STORE_FAILED;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static struct db_stmt *insert_of(struct work *w, unsigned table, int columns)
{
    char *text = w->insert[table];
    if (!*text) {
        int len = snprintf(text, INSERT_BYTES, "INSERT INTO %s VALUES (?", tables[table].name);
        for (int i = 1; i < columns && len < INSERT_BYTES; i++)
            len += snprintf(text + len, (size_t)(INSERT_BYTES - len), ",?");
        snprintf(text + len, (size_t)(INSERT_BYTES - len), ")");
    }
    return db_prepare(w->out, text);
}

static enum status copy_row(struct work *w, unsigned table, struct db_stmt *from)
{
    struct db_stmt *to = insert_of(w, table, db_col_count(from));
    if (!to)
        return failed(w, w->out, tables[table].name);
    db_bind_row(to, from);
    return db_run(to) ? failed(w, w->out, tables[table].name) : STATUS_OK;
}

/* The next rows of a table behind *after; *ret_count of them. */
static enum status copy_piece(struct work *w, unsigned table, int64_t *after, int64_t *ret_count)
{
    struct db_stmt *s = db_prepare(w->live, tables[table].select);
    if (!s)
        return failed(w, w->live, tables[table].name);
    const int64_t values[] = { w->from_us, w->to_us, *after, ROWS_AT_ONCE, w->end_rid };
    if (db_params(s) > 0)
        db_text(s, 1, w->a->periods, -1);
    for (int i = 0; i < db_params(s) - 1; i++)
        db_int(s, i + 2, values[i]);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    for (*ret_count = 0; !status && (row = db_step(s)) == DB_ROW; ++*ret_count) {
        status = copy_row(w, table, s);
        if (tables[table].pieces)
            *after = db_col_int(s, 0);
    }
    if (row == DB_FAILED)
        status = failed(w, w->live, tables[table].name);
    db_reset(s);
    return status;
}

/* Each piece is one transaction there, and one snapshot here. */
static enum status copy_table(struct work *w, unsigned table)
{
    int64_t after = 0, count = 0;
    uint64_t wal;
    enum status s;
    do {
        if (atomic_load(w->stop))
            return STATUS_DEADLINE;
        s = db_begin(w->out);
        if (!s)
            s = copy_piece(w, table, &after, &count);
        if (s) {
            db_rollback(w->out);
            return s;
        }
        s = db_commit(w->out);
        if (!s)
            s = db_checkpoint(w->out, true, &wal);
    } while (!s && tables[table].pieces && count > 0);
    return s ? failed(w, w->out, tables[table].name) : STATUS_OK;
}

/* ---- sums ---------------------------------------------------------------------------------- */

static enum status add_up(struct work *w)
{
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < sizeof sums / sizeof *sums && !s; i++)
        s = db_run(db_prepare(w->out, sums[i]));
    struct db_stmt *self = s ? NULL : db_prepare(w->out, sql_self);
    if (!self)
        return failed(w, w->out, "the sums");
    db_text(self, 1, w->a->month, -1);
    db_int(self, 2, w->a->created_us);
    return db_run(self) ? failed(w, w->out, "the sums") : STATUS_OK;
}

static json_t *draw_row(struct db_stmt *s, const void *arg)
{
    (void)arg;
    return json_pack("[I, I]", (json_int_t)db_col_int(s, 0), (json_int_t)db_col_int(s, 1));
}

static json_t *period_row(struct db_stmt *s, const void *arg)
{
    char from[PERIOD_TEXT_BYTES], to[PERIOD_TEXT_BYTES];
    (void)arg;
    return json_pack("{s:s, s:s, s:s, s:s}", "organization", db_col_text(s, 0, NULL), "from",
                     period_instant_text(db_col_int(s, 1), from), "to",
                     period_instant_text(db_col_int(s, 2), to), "invoice", db_col_text(s, 3, NULL));
}

static enum status read_extent(struct work *w)
{
    struct archive *a = w->a;
    struct db_stmt *s = db_prepare(w->out, sql_extent);
    int64_t *const into[] = { &a->requests, &a->from_rid, &a->to_rid, &a->from_tx, &a->to_tx };
    enum db_row row = db_step(s);
    for (int i = 0; i < 5 && row == DB_ROW; i++)
        *into[i] = db_col_int(s, i);
    enum status status = row == DB_FAILED ? db_status(w->out) : STATUS_OK;
    db_reset(s);
    return status;
}

/* The roll-ups there are those here, and stay so: the periods are closed. */
static enum status compare_rollups(struct work *w)
{
    uint8_t there[DIGEST_BYTES];
    enum status s = archive_rollups_digest(w->out, w->a->periods, there);
    if (!s)
        s = archive_rollups_digest(w->live, w->a->periods, w->a->rollups_sha256);
    if (!s && memcmp(there, w->a->rollups_sha256, sizeof there) != 0) {
        snprintf(w->err, 256, "the sums of the month changed while it was copied");
        return STATUS_CONFLICT;
    }
    return s;
}

static enum status read_back(struct work *w)
{
    int64_t none;
    enum status s = read_extent(w);
    if (!s)
        s = db_list(w->out, db_prepare(w->out, sql_draws), draw_row, NULL, &w->a->draws);
    if (!s)
        s = db_list(w->out, db_prepare(w->out, sql_periods_told), period_row, NULL, &w->periods);
    if (!s)
        s = compare_rollups(w);
    if (!s)
        s = db_first_int(w->out, db_prepare(w->out, sql_no_wal), &none);
    return s && !*w->err ? failed(w, w->out, "the archive cannot be read") : s;
}

static enum status fill(struct work *w)
{
    enum status s = db_migrate(w->out, schema_sql, sizeof schema_sql / sizeof *schema_sql, w->err);
    if (!s && db_run(db_prepare(w->out, sql_no_references)))
        s = failed(w, w->out, "the archive");
    for (unsigned i = 0; i < TABLES && !s; i++)
        s = copy_table(w, i);
    if (!s)
        s = add_up(w);
    return s ? s : read_back(w);
}

/* ---- the file ------------------------------------------------------------------------------ */

static enum status audit_part(struct work *w)
{
    struct db *db = NULL;
    AUTO(json_decref_ptr) json_t *audit = NULL;
    enum status s = db_open(w->part, DB_READER, &db, w->err);
    if (s)
        return s;
    db_stop_when(db, w->stop);
    s = db_whole_check(db, w->err);
    if (!s && audit_run(db, w->a->created_us, &audit))
        s = failed(w, db, "the archive cannot be audited");
    db_close(db);
    if (s || json_is_true(json_object_get(audit, "ok")))
        return s;
    const char *first = json_string_value(json_array_get(json_object_get(audit, "problems"), 0));
    snprintf(w->err, 256, "the audit of %.40s says: %.180s", w->a->month, first ? first : "");
    return STATUS_CONFLICT;
}

static enum status write_manifest(struct work *w, const char *path)
{
    char hex[DIGEST_HEX_BYTES], created[PERIOD_TEXT_BYTES];
    const struct archive *a = w->a;
    AUTO(json_decref_ptr)
    json_t *manifest = json_pack(
        "{s:s, s:s, s:I, s:s, s:I, s:s, s:s, s:I, s:O}", "month", a->month, "file",
        strrchr(a->file, '/') + 1, "bytes", (json_int_t)a->bytes, "sha256", a->sha256, "requests",
        (json_int_t)a->requests, "rollups_sha256", digest_hex(a->rollups_sha256, DIGEST_BYTES, hex),
        "created", period_instant_text(a->created_us, created), "schema",
        (json_int_t)(sizeof schema_sql / sizeof *schema_sql), "periods", w->periods);
    AUTO(free_ptr) char *text = manifest ? json_dumps(manifest, JSON_INDENT(1)) : NULL;
    return text ? file_write(path, text, w->err) : STATUS_NO_MEMORY;
}

static enum status make_part(struct work *w)
{
    unlink(w->part);
    enum status s = db_open(w->part, DB_WRITER, &w->out, w->err);
    if (!s)
        s = fill(w);
    db_close(w->out);
    w->out = NULL;
    return s ? s : audit_part(w);
}

/* Files of that name that the store does not know are of an attempt that ended early. */
static enum status make_files(struct work *w, const char *dir)
{
    char path[FILE_PATH_BYTES], manifest[FILE_PATH_BYTES], name[64];
    struct archive *a = w->a;
    bool fits = file_path(path, dir, "archive");
    snprintf(name, sizeof name, "%s.db", a->month);
    fits = fits && file_path(a->file, path, name);
    snprintf(name, sizeof name, "%s.db.part", a->month);
    fits = fits && file_path(w->part, path, name);
    snprintf(name, sizeof name, "%s.json", a->month);
    if (!fits || !file_path(manifest, path, name) || (mkdir(path, 0700) != 0 && errno != EEXIST)) {
        snprintf(w->err, 256, "%.180s: it cannot be made", path);
        return STATUS_STORE_FAILED;
    }
    enum status s = make_part(w);
    if (!s)
        s = file_sha256(w->part, &a->bytes, a->sha256, w->err);
    if (s) {
        unlink(w->part);
        return s;
    }
    unlink(a->file);
    unlink(manifest);
    s = file_finish(w->part, a->file, w->err);
    return s ? s : write_manifest(w, manifest);
}

static enum status read_span(struct work *w)
{
    struct db_stmt *s = db_prepare(w->live, sql_span);
    if (!s)
        return db_status(w->live);
    db_text(s, 1, w->a->periods, -1);
    enum db_row row = db_step(s);
    if (row == DB_ROW) {
        w->from_us = db_col_int(s, 0);
        w->to_us = db_col_int(s, 1);
        w->end_rid = rid_at(w->to_us + DAY_US); /* a clock may have been put back meanwhile */
    }
    enum status status = row == DB_FAILED ? db_status(w->live) : STATUS_OK;
    db_reset(s);
    return status;
}

static enum status refuse_split(struct work *w)
{
    struct db_stmt *s = db_prepare(w->live, sql_split);
    int64_t split = 0;
    if (!s)
        return db_status(w->live);
    db_text(s, 1, w->a->periods, -1);
    db_int(s, 4, rid_at(w->from_us - 31 * DAY_US));
    db_int(s, 5, w->end_rid);
    enum status status = db_first_int(w->live, s, &split);
    if (status || !split)
        return status;
    snprintf(w->err, 256,
             "%.40s: requests that a reseller sold on lie in it for one of the two payers alone, "
             "whose months are of other time zones: it cannot leave",
             w->a->month);
    return STATUS_CONFLICT;
}

static enum status run(struct work *w, const char *dir)
{
    AUTO(json_decref_ptr) json_t *ids = json_array();
    enum status s = archive_periods(w->live, w->a->month, ids, w->err);
    if (s)
        return s;
    w->a->periods = json_dumps(ids, JSON_COMPACT);
    if (!w->a->periods)
        return STATUS_NO_MEMORY;
    s = read_span(w);
    if (!s)
        s = refuse_split(w);
    if (s)
        return *w->err ? s : failed(w, w->live, "the store");
    return make_files(w, dir);
}

enum status archive_write(const char *dir, const char *month, int64_t now_us,
                          const atomic_bool *stop, struct archive *ret, char err[static 256])
{
    char path[FILE_PATH_BYTES];
    AUTO(free_ptr) struct work *w = calloc(1, sizeof *w);
    *ret = (struct archive){ .created_us = now_us };
    *err = '\0';
    if (!w || !file_path(path, dir, "ledger.db"))
        return STATUS_NO_MEMORY;
    *w = (struct work){ .a = ret, .stop = stop, .err = err };
    snprintf(ret->month, sizeof ret->month, "%s", month);
    enum status s = db_open(path, DB_READER, &w->live, err);
    if (s)
        return s;
    db_stop_when(w->live, stop);
    s = run(w, dir);
    db_close(w->live);
    json_decref(w->periods);
    if (s)
        archive_clear(ret);
    return s;
}
