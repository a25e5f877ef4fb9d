/* billing/audit_volume.c -- what an invoice gives back of volume prices, computed once more: all
 * units of a period at the price of the tier that their number lies in, never more than was charged.
 */
#include "billing/audit_inside.h"
#include <inttypes.h>

static const char sql_posted[] =
    "SELECT coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 2), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 = 1), 0),"
    " coalesce(sum(e.atoms) FILTER (WHERE e.account % 32 BETWEEN 6 AND 8), 0)"
    " FROM ledger_tx t JOIN ledger_entry e ON e.tx = t.tx WHERE t.kind = 'volume' AND t.ref = ?1";

enum { KEY_MODEL, KEY_METER, KEY_VERSION, KEY_ITEM };
enum { UNITS, OWED, CHARGED, SEEN };

static bool item_of(const struct audit *a, const struct tally_row *row, struct price_item *ret)
{
    return audit_find_item(a, row->key[KEY_VERSION], row->key[KEY_MODEL], row->key[KEY_METER],
                           row->key[KEY_ITEM], ret) &&
           ret->kind == PRICE_VOLUME;
}

/* Of its series in the period, under whatever version. */
static int64_t units_in_all(const struct audit *a, const struct tally *usage,
                            const struct tally_row *of, const struct price_item *item)
{
    int64_t sum = 0, series = audit_series(item);
    for (size_t i = 0; i < usage->room; i++) {
        struct price_item other;
        const struct tally_row *row = &usage->rows[i];
        if (row->used && row->key[KEY_MODEL] == of->key[KEY_MODEL] && item_of(a, row, &other) &&
            audit_series(&other) == series)
            sum += row->sum[UNITS];
    }
    return sum;
}

/* What it comes to at the end: charged, when that is not more. */
static int64_t due_of(const struct audit *a, const struct tally *usage, const struct tally_row *row)
{
    struct price_item item;
    if (!item_of(a, row, &item))
        return row->sum[CHARGED];
    int64_t all = units_in_all(a, usage, row, &item);
    unsigned t = 0;
    while (t + 1 < item.tier_count && all > item.tiers[t].up_to)
        t++;
    int64_t due = audit_rated(row->sum[UNITS], item.tiers[t].price);
    return due < row->sum[CHARGED] ? due : row->sum[CHARGED];
}

/* Of what is due, what no fund had paid. */
static int64_t owed_after(const struct tally_row *row, int64_t due)
{
    int64_t covered = row->sum[CHARGED] - row->sum[OWED];
    return due > covered ? due - covered : 0;
}

void audit_volume_line(struct audit *a, const char *document, const struct tally *usage,
                       const int64_t key[static TALLY_KEYS], int which, int64_t exact)
{
    struct tally_row *row = tally_find(usage, key);
    int64_t due = row ? due_of(a, usage, row) : 0;
    int64_t right = !row                      ? exact + 1
                    : which == AUDIT_REVERSAL ? -row->sum[OWED]
                                              : owed_after(row, due);
    if (right != exact || (row->sum[SEEN] & which) || due == row->sum[CHARGED])
        audit_problem(a, "document %s: a line of a volume price is not what the period comes to",
                      document);
    if (row)
        row->sum[SEEN] |= which;
}

enum status audit_volume_end(struct audit *a, const char *document, const struct tally *usage)
{
    int64_t revenue = 0, unbilled = 0;
    for (size_t i = 0; i < usage->room; i++) {
        const struct tally_row *row = &usage->rows[i];
        int64_t due = row->used ? due_of(a, usage, row) : 0;
        if (!row->used || due == row->sum[CHARGED])
            continue;
        if (row->sum[SEEN] != (AUDIT_REVERSAL | AUDIT_VOLUME))
            audit_problem(a, "document %s: a volume price was not given back", document);
        revenue += row->sum[CHARGED] - due;
        unbilled += row->sum[OWED] - owed_after(row, due);
    }
    struct db_stmt *s = db_prepare(a->db, sql_posted);
    if (!s)
        return db_status(a->db);
    db_text(s, 1, document, -1);
    enum db_row step = db_step(s);
    if (step == DB_ROW && (db_col_int(s, 0) != revenue || db_col_int(s, 1) != -unbilled ||
                           db_col_int(s, 2) != unbilled - revenue))
        audit_problem(a, "document %s: what volume prices give back is not posted so", document);
    db_reset(s);
    return step == DB_FAILED ? db_status(a->db) : STATUS_OK;
}
