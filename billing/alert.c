/* billing/alert.c -- see alert.h. */
#include "billing/alert.h"
#include "base/db.h"
#include "billing/accounts.h"
#include "billing/books.h"
#include "conf/catalog_alerts.h"
#include <string.h>

static const char sql_add[] =
    "INSERT INTO alert (type, owner, organization, threshold, round, limit_atoms, spent_atoms,"
    " last_tx, at_us) VALUES (?1,?2,?3,?4,?5,?6,?7,"
    "  coalesce((SELECT max(tx) FROM ledger_tx), 0),?8) ON CONFLICT DO NOTHING";
static const char sql_deliver[] =
    "INSERT INTO alert_delivery (alert, webhook, state, due_us) VALUES (?1,?2,'waiting',?3)";
static const char sql_is[] = "SELECT count(*) FROM organization WHERE id = ?1 AND slug = ?2";
static const char sql_period[] = "SELECT starts_us FROM billing_period WHERE organization = ?1"
                                 " AND starts_us <= ?2 AND ends_us > ?2"
                                 " ORDER BY starts_us DESC LIMIT 1";
static const char sql_owed[] = "SELECT max(coalesce(sum(posted_atoms), 0), 0) FROM account_balance"
                               " WHERE account IN (?1, ?2)";
static const char sql_prepaid[] =
    "SELECT f.id, f.amount_atoms,"
    " CASE WHEN f.to_us > ?2 THEN f.amount_atoms - b.drawn_atoms - b.expired_atoms ELSE 0 END"
    " FROM fund f JOIN fund_balance b ON b.fund = f.id"
    " WHERE f.organization = ?1 AND f.kind = 'prepaid' AND f.from_us <= ?2 ORDER BY f.id DESC";

struct fact {
    enum alert_type type; /* of a threshold; that of the hard stop follows it */
    int64_t owner, organization, round, limit, spent;
};

static bool wanted(const struct books *b)
{
    return b->alerts.wanted && b->alerts.wanted->webhook_count;
}

/* The least that is at least `percent` of it. */
static int64_t part_of(int64_t limit, unsigned percent)
{
    __extension__ typedef __int128 wide;
    return (int64_t)(((wide)limit * percent + 99) / 100);
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* A webhook of some organisations gets the others' events never: *ret. */
static enum status takes(struct books *b, const struct catalog_webhook *w, int64_t organization,
                         bool *ret)
{
    *ret = !w->organizations;
    for (size_t i = 0; w->organizations && w->organizations[i] && !*ret; i++) {
        struct db_stmt *s = db_prepare(b->db, sql_is);
        int64_t is;
        if (!s)
            return db_status(b->db);
        db_int(s, 1, organization);
        db_text(s, 2, w->organizations[i], -1);
        enum status status = db_first_int(b->db, s, &is);
        if (status)
            return status;
        *ret = is != 0;
    }
    return STATUS_OK;
}

static enum status deliver(struct books *b, const struct catalog_webhook *w, int64_t alert,
                           int64_t organization)
{
    bool to_be_told;
    enum status status = takes(b, w, organization, &to_be_told);
    if (status || !to_be_told)
        return status;
    struct db_stmt *s = db_prepare(b->db, sql_deliver);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, alert);
    db_text(s, 2, w->name, -1);
    db_int(s, 3, b->batch_us);
    return db_run(s);
}

static enum status add(struct books *b, const struct fact *f, enum alert_type type,
                       unsigned threshold)
{
    struct db_stmt *s = db_prepare(b->db, sql_add);
    if (!s)
        return db_status(b->db);
    const int64_t numbers[] = { f->owner, f->organization, threshold,  f->round,
                                f->limit, f->spent,        b->batch_us };
    db_text(s, 1, alert_type_name(type), -1);
    for (int i = 0; i < 7; i++)
        db_int(s, 2 + i, numbers[i]);
    return db_run(s);
}

/* A row that the store refuses would be our mistake: no settlement waits for it. */
static enum status record(struct books *b, const struct fact *f, enum alert_type type,
                          unsigned threshold)
{
    const struct catalog_alerts *a = b->alerts.wanted;
    enum status s = add(b, f, type, threshold);
    if (!s && db_changes(b->db) == 0)
        return STATUS_OK; /* it was there before */
    int64_t id = db_last_id(b->db);
    for (size_t i = 0; i < a->webhook_count && !s; i++)
        if (alert_wanted_by(&a->webhooks[i], type, threshold))
            s = deliver(b, &a->webhooks[i], id, f->organization);
    b->alerts.news = true;
    return books_is_answer(s) ? STATUS_OK : s;
}

/* What is crossed, and in *ret_next how much more must be spent to cross another. */
static enum status look(struct books *b, const struct fact *f, int64_t *ret_next)
{
    const struct catalog_alerts *a = b->alerts.wanted;
    enum status s = STATUS_OK;
    *ret_next = INT64_MAX;
    for (unsigned i = 0; i < a->threshold_count && f->limit > 0 && !s; i++) {
        int64_t at = part_of(f->limit, a->thresholds[i]);
        if (f->spent < at) {
            *ret_next = at;
            break;
        }
        s = record(b, f, f->type, a->thresholds[i]);
    }
    return s;
}

/* ---- who has paid -------------------------------------------------------------------------- */

static int64_t spent_of(const struct budget *p)
{
    return p->monthly ? p->spent_month : p->spent_total;
}

static struct fact budget_fact(const struct budget *p)
{
    return (struct fact){ .type = ALERT_BUDGET_REACHED,
                          .owner = p->project,
                          .organization = p->organization,
                          .round = p->monthly ? p->period_from_us : 0,
                          .limit = p->limit,
                          .spent = spent_of(p) };
}

bool alert_budget_due(const struct budget *p)
{
    return spent_of(p) >= p->alert_at;
}

enum status alert_budget(struct books *b, struct budget *p)
{
    const struct fact f = budget_fact(p);
    p->alert_at = INT64_MAX;
    return wanted(b) ? look(b, &f, &p->alert_at) : STATUS_OK;
}

/* By the rows: a payment in this very batch is not in memory yet. */
static enum status credit_fact(struct books *b, const struct purse *o, int64_t round,
                               struct fact *ret)
{
    *ret = (struct fact){ .type = ALERT_CREDIT_REACHED,
                          .owner = o->organization,
                          .organization = o->organization,
                          .round = round,
                          .limit = o->credit_limit };
    struct db_stmt *s = db_prepare(b->db, sql_owed);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, account_id(o->organization, ACCOUNT_UNBILLED));
    db_int(s, 2, account_id(o->organization, ACCOUNT_RECEIVABLE));
    return db_first_int(b->db, s, &ret->spent);
}

/* Of the newest top-up so much is used as all prepaid funds together have less than it.  round 0:
 * there is none. */
static enum status prepaid_fact(struct books *b, const struct purse *o, struct fact *ret,
                                int64_t *ret_left)
{
    *ret = (struct fact){ .type = ALERT_PREPAID_REACHED,
                          .owner = o->organization,
                          .organization = o->organization };
    *ret_left = 0;
    struct db_stmt *s = db_prepare(b->db, sql_prepaid);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, o->organization);
    db_int(s, 2, b->batch_us);
    enum db_row row;
    while ((row = db_step(s)) == DB_ROW) {
        if (!ret->round) {
            ret->round = db_col_int(s, 0);
            ret->limit = db_col_int(s, 1);
        }
        *ret_left += db_col_int(s, 2);
    }
    db_reset(s);
    ret->spent = *ret_left < ret->limit ? ret->limit - *ret_left : 0;
    return row == DB_FAILED ? db_status(b->db) : STATUS_OK;
}

static enum status look_at_credit(struct books *b, struct purse *o, int64_t round)
{
    struct fact f;
    enum status s = credit_fact(b, o, round, &f);
    return s ? s : look(b, &f, &o->credit_alert_at);
}

static enum status look_at_prepaid(struct books *b, struct purse *o)
{
    struct fact f;
    int64_t left, next;
    enum status s = prepaid_fact(b, o, &f, &left);
    if (!s)
        s = look(b, &f, &next);
    if (!s)
        o->prepaid_to_alert = next == INT64_MAX ? next : next - (f.limit - left);
    return s;
}

bool alert_purse_due(struct purse *o)
{
    o->prepaid_to_alert -= o->posts[FUND_PREPAID];
    return (o->posts[FUND_PREPAID] && o->prepaid_to_alert <= 0) ||
           (o->on_credit && o->credit_used >= o->credit_alert_at);
}

enum status alert_purse(struct books *b, struct purse *o)
{
    enum status s = STATUS_OK;
    if (!wanted(b)) {
        o->prepaid_to_alert = o->credit_alert_at = INT64_MAX;
        return s;
    }
    if (o->prepaid_to_alert <= 0)
        s = look_at_prepaid(b, o);
    if (!s && o->credit_used >= o->credit_alert_at)
        s = look_at_credit(b, o, o->period_from_us);
    return s;
}

/* ---- who was refused ----------------------------------------------------------------------- */

/* Once; the sums of the rows are those of memory then. */
static enum status stop(struct books *b, const struct fact *f)
{
    enum status s = record(b, f, f->type + 1, 0);
    return s ? s : STATUS_NO_QUOTA;
}

enum status alert_budget_stop(struct books *b, struct budget *p)
{
    if (!wanted(b) || p->stop_noted)
        return STATUS_NO_QUOTA;
    enum status s = books_flush(b);
    const struct fact f = budget_fact(p);
    p->stop_noted = true;
    return s ? s : stop(b, &f);
}

enum status alert_purse_stop(struct books *b, struct purse *o)
{
    int64_t left;
    struct fact f = { .round = 0 };
    if (!wanted(b) || o->stop_noted)
        return STATUS_NO_QUOTA;
    enum status s = books_flush(b);
    if (!s)
        s = o->credit_limit ? credit_fact(b, o, o->period_from_us, &f)
                            : prepaid_fact(b, o, &f, &left);
    if (!f.round)
        f.round = o->period_from_us;
    o->stop_noted = true;
    return s ? s : stop(b, &f);
}

/* ---- everybody ----------------------------------------------------------------------------- */

void alert_want(struct books *b, const struct catalog_alerts *wanted, void (*recorded)(void *arg),
                void *arg)
{
    b->alerts = (struct alert_watch){ .wanted = wanted, .recorded = recorded, .arg = arg };
    alert_rolled_back(b);
    alert_look_again(b);
}

void alert_look_again(struct books *b)
{
    b->alerts.sweep = wanted(b);
    b->alerts.failed = false;
}

bool alert_waits(const struct books *b)
{
    return b->alerts.sweep && !b->alerts.failed;
}

/* The period that has begun and lasts; 0: nothing was settled in it yet. */
static enum status period_of(struct books *b, int64_t organization, int64_t *ret_from_us)
{
    struct db_stmt *s = db_prepare(b->db, sql_period);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, organization);
    db_int(s, 2, b->batch_us);
    return db_first_int(b->db, s, ret_from_us);
}

static bool near(const struct books *b, int64_t limit, int64_t spent)
{
    return spent > 0 && spent >= part_of(limit, b->alerts.wanted->thresholds[0]);
}

static enum status sweep_budget(struct books *b, struct budget *p)
{
    int64_t from_us = p->period_from_us;
    if (!p->project || !near(b, p->limit, spent_of(p)))
        return STATUS_OK;
    enum status s = p->monthly ? period_of(b, p->organization, &from_us) : STATUS_OK;
    return s || from_us != p->period_from_us ? s : alert_budget(b, p);
}

static enum status sweep_purse(struct books *b, struct purse *o)
{
    int64_t from_us = 0;
    if (!o->organization)
        return STATUS_OK;
    enum status s = o->fund_count ? look_at_prepaid(b, o) : STATUS_OK;
    if (s || !near(b, o->credit_limit, o->credit_used))
        return s;
    s = period_of(b, o->organization, &from_us);
    return s || !from_us ? s : look_at_credit(b, o, from_us);
}

enum status alert_sweep(struct books *b)
{
    enum status s = STATUS_OK;
    if (!b->alerts.sweep)
        return s;
    b->alerts.sweep = false;
    b->alerts.swept = true;
    for (size_t i = 0; i < b->budgets.room && !s; i++)
        s = sweep_budget(b, &b->budgets.slots[i]);
    for (size_t i = 0; i < b->purses.room && !s; i++)
        s = sweep_purse(b, &b->purses.slots[i]);
    return books_is_answer(s) && s ? STATUS_STORE_FAILED : s;
}

void alert_committed(struct books *b)
{
    b->alerts.swept = false;
    if (b->alerts.news && b->alerts.recorded)
        b->alerts.recorded(b->alerts.arg);
    b->alerts.news = false;
}

/* What was noted may be gone: everything is looked at again when it is next paid for or refused. */
void alert_rolled_back(struct books *b)
{
    for (size_t i = 0; i < b->budgets.room; i++)
        budget_forget_alerts(&b->budgets.slots[i]);
    for (size_t i = 0; i < b->purses.room; i++)
        purse_forget_alerts(&b->purses.slots[i]);
    b->alerts.failed |= b->alerts.swept;
    b->alerts.sweep |= b->alerts.swept;
    b->alerts.swept = b->alerts.news = false;
}
