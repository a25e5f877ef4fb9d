/* billing/archive_digest.c -- the roll-ups of an archive, as one digest: of the digest so far and the text
 * of the next row, those of usage and then those of costs.  These columns in this order, whatever a later
 * schema adds. */
#include "base/db.h"
#include "billing/archive.h"
#include <string.h>

#define PERIODS "(SELECT value FROM json_each(?1))"
#define OF_PERIODS                                                                                   \
    " WHERE hour_us >= (SELECT min(starts_us) - 3600000000 FROM billing_period WHERE id IN " PERIODS \
    ") AND hour_us < (SELECT max(ends_us) FROM billing_period WHERE id IN " PERIODS                  \
    ") AND period IN " PERIODS
static const char sql_rollups[] =
    "SELECT hour_us, project, key, model, meter, price_version, item, period, endpoint, tier,"
    " long_context, qty, requests, atoms, covered_atoms FROM usage_rollup" OF_PERIODS
    " ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11";

static const char sql_costs[] =
    "SELECT hour_us, project, model, backend, period, attempts, cost_atoms, wasted_atoms"
    " FROM cost_rollup" OF_PERIODS " ORDER BY 1, 2, 3, 4, 5";

enum { ROW_BYTES = 1024 };

/* What does not fit is no row of ours: endpoints are short words. */
static bool add(uint8_t digest[static DIGEST_BYTES], struct db_stmt *row)
{
    uint8_t bytes[ROW_BYTES];
    size_t used = DIGEST_BYTES, len;
    memcpy(bytes, digest, DIGEST_BYTES);
    for (int i = 0; i < db_col_count(row); i++) {
        const char *text = db_col_text(row, i, &len);
        if (!text || used + len + 1 > sizeof bytes)
            return false;
        memcpy(bytes + used, text, len);
        bytes[used + len] = '\n';
        used += len + 1;
    }
    digest_sha256(bytes, used, digest);
    return true;
}

static enum status add_rows(struct db *db, const char *sql, const char *periods,
                            uint8_t digest[static DIGEST_BYTES])
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    db_text(s, 1, periods, -1);
    enum db_row row = DB_DONE;
    bool fits = true;
    while (fits && (row = db_step(s)) == DB_ROW)
        fits = add(digest, s);
    enum status status = !fits ? STATUS_STORE_FAILED : row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

enum status archive_rollups_digest(struct db *db, const char *periods,
                                   uint8_t ret[static DIGEST_BYTES])
{
    memset(ret, 0, DIGEST_BYTES);
    enum status s = add_rows(db, sql_rollups, periods, ret);
    return s ? s : add_rows(db, sql_costs, periods, ret);
}
