/* billing/audit.c -- everything recomputed from rows, in one read transaction, so
 * that the daemon may go on working meanwhile.
 *
 * Every problem is a sentence with the ids that one needs to look it up.
 */
#include "billing/audit_inside.h"
#include "base/cleanup.h"
#include <stdarg.h>
#include <stdio.h>

static const char sql_begin[] = "BEGIN";
static const char sql_end[] = "COMMIT";

static const struct {
    const char *name;
    enum status (*run)(struct audit *a);
} checks[] = {
    { "prices", audit_prices },       /* books can be read */
    { "published", audit_published }, /* books have their hash, two people and their notice */
    { "boots", audit_boots }, /* starts follow one another, nothing is open below the floor */
    { "funds", audit_funds }, /* can be read */
    { "archives",
      audit_archives }, /* the sums that stand for their requests are as they were left */
    { "requests", audit_requests },   /* held, settled once, rated right, within the hold, paid */
    { "resale", audit_resale },       /* both legs of what resellers sell on, and who sells it */
    { "keys", audit_keys },           /* of clients stand for requests of their project */
    { "recounts", audit_recounts },   /* our own counts: nothing beyond them and their tolerance */
    { "counts", audit_counts },       /* of a period: each unit once, one behind the other */
    { "rollups", audit_rollups },     /* are the sums of the settlements */
    { "ledger", audit_ledger },       /* every tx sums to 0 and is what its batch settled */
    { "balances", audit_balances },   /* are the sums of their entries */
    { "spent", audit_spent },         /* by projects is the sum of their settlements */
    { "draws", audit_fund_balances }, /* on a fund add up to its balance, within its amount */
    { "documents", audit_documents }, /* no gap in the numbers, sums right, posted as printed */
    { "shares", audit_shares },       /* parts of what is left of lines, posted as written */
    { "costs", audit_costs },         /* of backends: rated right, summed up, posted as they are */
    { "alerts", audit_alerts },       /* say what the sums were when they were recorded */
};

void audit_problem(struct audit *a, const char *format, ...)
{
    char text[400];
    a->found++;
    if (json_array_size(a->problems) >= AUDIT_PROBLEMS_MAX)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(a->problems, json_string(text));
}

enum status audit_each(struct audit *a, struct db_stmt *s,
                       enum status (*row)(struct audit *a, struct db_stmt *s))
{
    enum status status = STATUS_OK;
    enum db_row step = DB_DONE;
    while (!status && (step = db_step(s)) == DB_ROW) {
        a->rows++;
        status = row(a, s);
    }
    if (step == DB_FAILED)
        status = db_status(a->db);
    db_reset(s);
    return status;
}

enum status audit_query(struct audit *a, const char *sql,
                        enum status (*row)(struct audit *a, struct db_stmt *s))
{
    struct db_stmt *s = db_prepare(a->db, sql);
    return s ? audit_each(a, s, row) : db_status(a->db);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static enum status run_checks(struct audit *a, json_t *results, int64_t *ret_found)
{
    for (unsigned i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        a->rows = a->found = 0;
        enum status s = checks[i].run(a);
        if (s)
            return s;
        *ret_found += a->found;
        json_t *result = json_pack("{s:s, s:I, s:I}", "name", checks[i].name, "rows",
                                   (json_int_t)a->rows, "problems", (json_int_t)a->found);
        if (json_array_append_new(results, result))
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

static enum status run_sql(struct db *db, const char *sql)
{
    struct db_stmt *s = db_prepare(db, sql);
    return s ? db_run(s) : db_status(db);
}

enum status audit_run(struct db *db, int64_t now_us, json_t **ret)
{
    AUTO(json_decref_ptr) json_t *problems = json_array();
    AUTO(json_decref_ptr) json_t *results = json_array();
    struct audit a = { .db = db, .now_us = now_us, .problems = problems };
    int64_t found = 0;
    enum status s = run_sql(db, sql_begin);
    if (!s) {
        s = run_checks(&a, results, &found);
        enum status ended = run_sql(db, sql_end);
        s = s ? s : ended;
    }
    tally_free(&a.usage);
    tally_free(&a.posted);
    tally_free(&a.prices);
    tally_free(&a.costs);
    tally_free(&a.cost_posted);
    tally_free(&a.counts);
    free(a.items);
    arena_free(a.words);
    free(a.terms);
    free(a.layers);
    tally_free(&a.drawn);
    tally_free(&a.spent);
    tally_free(&a.funds);
    if (s)
        return s;
    json_t *document =
        json_pack("{s:b, s:O, s:O}", "ok", found == 0, "checks", results, "problems", problems);
    if (!document)
        return STATUS_NO_MEMORY;
    *ret = document;
    return STATUS_OK;
}
