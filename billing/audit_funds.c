/* billing/audit_funds.c -- funds: who drew what on them, and what is left; and what
 * each project has spent.
 */
#include "billing/audit_inside.h"
#include <inttypes.h>
#include <string.h>

static const char sql_funds[] = "SELECT id, CASE kind WHEN 'promo' THEN 1 WHEN 'commit' THEN 2"
                                " ELSE 3 END, amount_atoms, organization, model FROM fund";
static const char sql_balances[] =
    "SELECT b.fund, b.drawn_atoms, b.expired_atoms, f.amount_atoms FROM fund_balance b"
    " JOIN fund f ON f.id = b.fund";
static const char sql_spent[] = "SELECT project, atoms FROM project_spent";

enum { FUND_KIND, FUND_AMOUNT, FUND_ORGANIZATION, FUND_MODEL };

static enum status fund_row(struct audit *a, struct db_stmt *s)
{
    struct tally_row *row = tally_row(&a->funds, (int64_t[TALLY_KEYS]){ db_col_int(s, 0) });
    if (!row)
        return STATUS_NO_MEMORY;
    for (int i = 0; i < TALLY_SUMS; i++)
        row->sum[i] = db_col_int(s, i + 1);
    return STATUS_OK;
}

enum status audit_funds(struct audit *a)
{
    return audit_query(a, sql_funds, fund_row);
}

/* ---- draws of a settlement ----------------------------------------------------------------- */

/* Later kinds only after earlier ones: the order of drawing. */
static enum status check_draw(struct audit *a, struct db_stmt *s, int64_t fund, int64_t atoms,
                              int64_t *kind)
{
    int64_t rid = db_col_int(s, O_RID), model = db_col_int(s, S_MODEL);
    const struct tally_row *f = tally_find(&a->funds, (int64_t[TALLY_KEYS]){ fund });
    if (!f || f->sum[FUND_ORGANIZATION] != db_col_int(s, S_ORGANIZATION) ||
        (f->sum[FUND_MODEL] && f->sum[FUND_MODEL] != model)) {
        audit_problem(a, "request %" PRId64 " drew on fund %" PRId64 ", which is not for it", rid,
                      fund);
        return STATUS_OK;
    }
    if (f->sum[FUND_KIND] < *kind)
        audit_problem(a, "request %" PRId64 " drew on its funds out of order", rid);
    *kind = f->sum[FUND_KIND];
    struct tally_row *drawn = tally_row(&a->drawn, (int64_t[TALLY_KEYS]){ fund });
    if (!drawn ||
        !audit_post(a, db_col_int(s, S_SETTLED), db_col_int(s, S_ORGANIZATION), *kind, atoms))
        return STATUS_NO_MEMORY;
    drawn->sum[0] += atoms;
    return STATUS_OK;
}

enum status audit_draws(struct audit *a, struct db_stmt *s, int64_t *ret_covered)
{
    const char *at = db_col_text(s, S_DRAWS, NULL);
    int64_t fund, atoms, kind = 0;
    *ret_covered = 0;
    if (!at)
        return STATUS_OK;
    do { /* at '[' or ',' */
        at = audit_numbers(at + 1, (int64_t *[]){ &fund, &atoms }, 2);
        if (!at) {
            audit_problem(a, "request %" PRId64 ": its draws cannot be read", db_col_int(s, O_RID));
            return STATUS_OK;
        }
        *ret_covered += atoms;
        enum status status = check_draw(a, s, fund, atoms, &kind);
        if (status)
            return status;
    } while (*at == ',');
    if (strcmp(at, "]") != 0 || *ret_covered > db_col_int(s, S_AMOUNT))
        audit_problem(a, "request %" PRId64 ": funds paid more than it cost", db_col_int(s, O_RID));
    return STATUS_OK;
}

/* ---- balances ------------------------------------------------------------------------------ */

static enum status balance_row(struct audit *a, struct db_stmt *s)
{
    int64_t fund = db_col_int(s, 0), drawn = db_col_int(s, 1), expired = db_col_int(s, 2);
    const struct tally_row *row = tally_find(&a->drawn, (int64_t[TALLY_KEYS]){ fund });
    if (drawn != (row ? row->sum[0] : 0))
        audit_problem(a, "fund %" PRId64 ": its balance is not the sum of its draws", fund);
    if (drawn + expired > db_col_int(s, 3))
        audit_problem(a, "fund %" PRId64 ": more was drawn than was in it", fund);
    return STATUS_OK;
}

enum status audit_fund_balances(struct audit *a)
{
    return audit_query(a, sql_balances, balance_row);
}

static enum status spent_row(struct audit *a, struct db_stmt *s)
{
    int64_t project = db_col_int(s, 0);
    struct tally_row *row = tally_row(&a->spent, (int64_t[TALLY_KEYS]){ project });
    if (!row)
        return STATUS_NO_MEMORY;
    row->seen = true;
    if (row->sum[0] != db_col_int(s, 1))
        audit_problem(a, "project %" PRId64 ": what it spent is not the sum of its settlements",
                      project);
    return STATUS_OK;
}

enum status audit_spent(struct audit *a)
{
    enum status s = audit_query(a, sql_spent, spent_row);
    for (size_t i = 0; i < a->spent.room && !s; i++)
        if (a->spent.rows[i].used && !a->spent.rows[i].seen && a->spent.rows[i].sum[0] != 0)
            audit_problem(a, "project %" PRId64 ": what it spent is missing",
                          a->spent.rows[i].key[0]);
    return s;
}
