/* billing/opening.c -- see opening.h. */
#include "billing/opening.h"
#include "base/db.h"
#include "billing/contract.h"
#include "billing/fund.h"

static const char sql_find[] = "SELECT id, starts_us, ends_us FROM billing_period"
                               " WHERE organization = ?1 AND starts_us <= ?2 AND ends_us > ?2"
                               " ORDER BY starts_us DESC LIMIT 1";
static const char sql_last[] =
    "SELECT ends_us FROM billing_period WHERE organization = ?1 AND starts_us < ?2"
    " AND ends_us <= ?2 ORDER BY starts_us DESC LIMIT 1";
static const char sql_cut[] = "UPDATE billing_period SET ends_us = ?2 WHERE organization = ?1"
                              " AND starts_us < ?2 AND ends_us > ?2 AND closed_us = 0";
static const char sql_add[] =
    "INSERT INTO billing_period (organization, starts_us, ends_us, time_zone)"
    " VALUES (?1,?2,?3,?4)";
static const char sql_unused[] =
    "SELECT f.id, f.amount_atoms - b.drawn_atoms FROM fund f JOIN fund_balance b ON b.fund = f.id"
    " WHERE f.organization = ?1 AND f.period IS NOT NULL AND f.to_us = ?2";
static const char sql_include[] =
    "INSERT INTO fund (organization, kind, from_us, to_us, amount_atoms, note, created_us, period)"
    " VALUES (?1,'promo',?2,?3,?4,'included in the subscription',?5,?6)";

static enum status find_row(struct books *b, struct purse *o)
{
    struct db_stmt *s = db_prepare(b->db, sql_find);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, o->organization);
    db_int(s, 2, b->batch_us);
    enum db_row row = db_step(s);
    enum status status = row == DB_FAILED ? db_status(b->db) : STATUS_OK;
    o->period = row == DB_ROW ? db_col_int(s, 0) : 0;
    if (row == DB_ROW) {
        o->period_from_us = db_col_int(s, 1);
        o->period_to_us = db_col_int(s, 2);
    }
    db_reset(s);
    return status;
}

/* A period that was cut short is followed by one that begins where it ended. */
static enum status begin_after_last(struct books *b, struct purse *o)
{
    struct db_stmt *s = db_prepare(b->db, sql_last);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, o->organization);
    db_int(s, 2, b->batch_us);
    int64_t last_us;
    enum status status = db_first_int(b->db, s, &last_us);
    if (last_us > o->period_from_us)
        o->period_from_us = last_us;
    return status;
}

static enum status add_row(struct books *b, struct purse *o)
{
    struct db_stmt *s = db_prepare(b->db, sql_add);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, o->organization);
    db_int(s, 2, o->period_from_us);
    db_int(s, 3, o->period_to_us);
    db_text(s, 4, zone_name(o->zone), -1);
    enum status status = db_run(s);
    o->period = status ? 0 : db_last_id(b->db);
    return status;
}

/* Of what the last period included and nobody used or holds.  By the rows: another organisation's
 * new period may have let it expire, and then memory has forgotten it. */
static enum status carried_on(struct books *b, const struct purse *o, int64_t basis_points,
                              int64_t *ret)
{
    __extension__ typedef __int128 wide;
    struct db_stmt *s = db_prepare(b->db, sql_unused);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, o->organization);
    db_int(s, 2, o->period_from_us);
    int64_t left = 0;
    enum db_row row;
    while ((row = db_step(s)) == DB_ROW)
        left += db_col_int(s, 1) - marks_of_fund(&b->purses.marks, db_col_int(s, 0));
    enum status status = row == DB_FAILED ? db_status(b->db) : STATUS_OK;
    db_reset(s);
    *ret = (int64_t)((wide)left * basis_points / 10000);
    return status;
}

static enum status include(struct books *b, const struct purse *o, int64_t atoms)
{
    struct db_stmt *s = db_prepare(b->db, sql_include);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, o->organization);
    db_int(s, 2, o->period_from_us);
    db_int(s, 3, o->period_to_us);
    db_int(s, 4, atoms);
    db_int(s, 5, b->batch_us);
    db_int(s, 6, o->period);
    return db_run(s);
}

/* Everything of the batch is posted before the funds are read again. */
static enum status begin(struct books *b, struct purse *o)
{
    struct contract c;
    int64_t month_us = o->period_from_us, carried = 0;
    enum status s = books_flush(b);
    if (!s)
        s = begin_after_last(b, o);
    if (!s)
        s = add_row(b, o);
    if (!s)
        s = contract_at(b->db, o->organization, b->batch_us, &c);
    bool includes = !s && c.plan.included.atoms && o->period_from_us == month_us;
    if (includes)
        s = carried_on(b, o, c.plan.rollover_basis_points, &carried);
    if (includes && !s)
        s = include(b, o, c.plan.included.atoms + carried);
    if (!s)
        s = funds_expire(b->db, &b->purses.marks, o->organization, b->batch_us);
    return s ? s : purse_load(&b->purses, b->db, b->batch_us, o->organization);
}

enum status opening_period(struct books *b, struct purse *o, bool *ret_began)
{
    *ret_began = false;
    if (o->period)
        return STATUS_OK;
    enum status s = find_row(b, o);
    if (s || o->period)
        return s;
    *ret_began = true;
    return begin(b, o);
}

enum status opening_cut(struct db *db, int64_t organization, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_cut);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    db_int(s, 2, now_us + 1);
    enum status status = db_run(s);
    return status ? status : db_changes(db) == 1 ? STATUS_OK : STATUS_NOT_FOUND;
}
