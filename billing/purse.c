/* billing/purse.c -- see purse.h.  Sums cannot overflow: what is taken together never
 * exceeds a limit of at most MONEY_ATOMS_MAX. */
#include "billing/purse.h"
#include "base/db.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char sql_terms[] =
    "SELECT o.id, c.credit_atoms, c.id, c.time_zone, (SELECT sum(posted_atoms) FROM account_balance"
    "  WHERE account IN (32 * o.id + 1, 32 * o.id + 3))"
    " FROM organization o JOIN contract c ON c.organization = o.id AND c.starts_us ="
    "  (SELECT max(starts_us) FROM contract WHERE organization = o.id AND starts_us <= ?1)"
    " WHERE ?2 IN (0, o.id)";
static const char sql_next_terms[] = "SELECT min(starts_us) FROM contract WHERE starts_us > ?1";
/* Of all organisations, by the index of what is open; or of one. */
#define FUNDS_SQL(from, where)                                                            \
    "SELECT f.organization, f.id, f.kind, f.model, f.from_us, f.to_us,"                   \
    " f.amount_atoms - b.drawn_atoms - b.expired_atoms, coalesce(f.period, 0) FROM " from \
    " ON f.id = b.fund WHERE " where " AND b.open_until IS NOT NULL"                      \
    " AND f.amount_atoms > b.drawn_atoms + b.expired_atoms ORDER BY f.organization,"      \
    " CASE f.kind WHEN 'promo' THEN 0 WHEN 'commit' THEN 1 ELSE 2 END,"                   \
    " f.model = 0, f.period IS NULL, f.priority, f.to_us, f.created_us, f.id"
static const char sql_funds[] = FUNDS_SQL("fund_balance b CROSS JOIN fund f", "?2 = 0");
static const char sql_funds_of[] = FUNDS_SQL("fund f JOIN fund_balance b", "f.organization = ?2");

/* ---- the table ----------------------------------------------------------------------------- */

static struct purse *slot_for(struct purse *slots, size_t room, int64_t organization)
{
    size_t i = ((uint64_t)organization * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (room - 1);
    while (slots[i].organization != 0 && slots[i].organization != organization)
        i = (i + 1) & (room - 1);
    return &slots[i];
}

static bool grow(struct purses *p)
{
    size_t room = p->room ? p->room * 2 : 64;
    struct purse *slots = calloc(room, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < p->room; i++)
        if (p->slots[i].organization)
            *slot_for(slots, room, p->slots[i].organization) = p->slots[i];
    free(p->slots);
    p->slots = slots;
    p->room = room;
    return true;
}

struct purse *purse_find(struct purses *p, int64_t organization)
{
    if (!p->room || organization <= 0)
        return NULL;
    struct purse *slot = slot_for(p->slots, p->room, organization);
    return slot->organization ? slot : NULL;
}

/* Of one organisation, or (0) of all. */
static void forget_funds(struct purses *p, int64_t organization)
{
    for (size_t i = 0; i < p->room; i++) {
        struct purse *o = &p->slots[i];
        if (organization && o->organization != organization)
            continue;
        free(o->funds);
        o->funds = NULL;
        o->fund_count = 0;
    }
}

void purses_free(struct purses *p)
{
    forget_funds(p, 0);
    for (size_t i = 0; i < p->zone_count; i++)
        zone_free(p->zones[i]);
    free(p->zones);
    free(p->slots);
    marks_free(&p->marks);
    *p = (struct purses){ 0 };
}

void purses_forget_batch(struct purses *p)
{
    for (size_t i = 0; i < p->room; i++) {
        struct purse *o = &p->slots[i];
        memset(o->posts, 0, sizeof o->posts);
        o->on_credit = o->period = 0;
        o->unposted = false;
        for (unsigned f = 0; f < o->fund_count; f++)
            o->funds[f].drawn = 0;
    }
}

void purse_enter_period(struct purse *o, int64_t now_us)
{
    if (o->period_from_us <= now_us && now_us < o->period_to_us)
        return;
    zone_month(o->zone, now_us, &o->period_from_us, &o->period_to_us);
    o->period = 0;
    purse_forget_alerts(o);
}

void purse_forget_alerts(struct purse *o)
{
    o->credit_alert_at = o->prepaid_to_alert = 0;
    o->stop_noted = false;
}

/* ---- loading ------------------------------------------------------------------------------- */

/* Each zone is read once. */
static enum status find_zone(struct purses *p, const char *name, const struct zone **ret)
{
    for (size_t i = 0; i < p->zone_count; i++)
        if (strcmp(zone_name(p->zones[i]), name) == 0) {
            *ret = p->zones[i];
            return STATUS_OK;
        }
    struct zone **zones = realloc(p->zones, (p->zone_count + 1) * sizeof *zones);
    if (!zones)
        return STATUS_NO_MEMORY;
    p->zones = zones;
    enum status s = zone_open(name, &zones[p->zone_count]);
    if (s)
        return s == STATUS_NO_MEMORY ? s : STATUS_STORE_FAILED; /* it was there when it was named */
    *ret = zones[p->zone_count++];
    return STATUS_OK;
}

static enum status set_terms(struct purses *p, struct db_stmt *row)
{
    /* One that is known stays where it is: pointers to purses outlive purse_load. */
    if (!purse_find(p, db_col_int(row, 0)) && 2 * p->count >= p->room && !grow(p))
        return STATUS_NO_MEMORY;
    struct purse *o = slot_for(p->slots, p->room, db_col_int(row, 0));
    if (!o->organization)
        p->count++;
    o->organization = db_col_int(row, 0);
    o->credit_limit = db_col_int(row, 1);
    o->contract = db_col_int(row, 2);
    o->credit_used = db_col_int(row, 4);
    purse_forget_alerts(o);
    return find_zone(p, db_col_text(row, 3, NULL), &o->zone);
}

static struct fund *find_fund(struct purse *o, int64_t id)
{
    for (unsigned i = 0; i < o->fund_count; i++)
        if (o->funds[i].id == id)
            return &o->funds[i];
    return NULL;
}

static enum fund_kind kind_of(const char *text)
{
    return *text == 'c' ? FUND_COMMIT : text[2] == 'o' ? FUND_PROMO : FUND_PREPAID;
}

/* Powers of two are where it must grow. */
static enum status add_fund(struct purses *p, struct db_stmt *row)
{
    struct purse *o = purse_find(p, db_col_int(row, 0));
    if (!o)
        return STATUS_STORE_FAILED;
    if ((o->fund_count & (o->fund_count - 1)) == 0) {
        size_t room = o->fund_count ? 2 * (size_t)o->fund_count : 1;
        struct fund *funds = realloc(o->funds, room * sizeof *funds);
        if (!funds)
            return STATUS_NO_MEMORY;
        o->funds = funds;
    }
    o->funds[o->fund_count++] = (struct fund){
        .id = db_col_int(row, 1),
        .kind = kind_of(db_col_text(row, 2, NULL)),
        .model = db_col_int(row, 3),
        .from_us = db_col_int(row, 4),
        .to_us = db_col_int(row, 5),
        .left = db_col_int(row, 6),
        .period = db_col_int(row, 7),
    };
    return STATUS_OK;
}

static enum status each_row(struct purses *p, struct db *db, struct db_stmt *s,
                            enum status (*take)(struct purses *p, struct db_stmt *row))
{
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = take(p, s);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

static enum status set_next_change(struct purses *p, struct db_stmt *row)
{
    p->next_change_us = db_col_null(row, 0) ? INT64_MAX : db_col_int(row, 0);
    return STATUS_OK;
}

/* A fund's id says nothing of its organisation, so all are looked at: marks are few. */
static void earmark_again(struct purses *p, const struct draw *d, int64_t organization)
{
    for (size_t i = 0; i < p->room; i++) {
        if (organization && p->slots[i].organization != organization)
            continue;
        struct fund *f = find_fund(&p->slots[i], d->fund);
        if (f)
            f->left -= d->atoms;
    }
}

static void earmark_all_again(struct purses *p, int64_t organization)
{
    for (size_t i = 0; i < p->marks.room; i++) {
        const struct mark *m = &p->marks.slots[i];
        for (unsigned d = 0; m->rid && d < m->draws.count; d++)
            earmark_again(p, &m->draws.draw[d], organization);
    }
}

enum status purse_load(struct purses *p, struct db *db, int64_t now_us, int64_t organization)
{
    struct db_stmt *terms = db_prepare(db, sql_terms);
    struct db_stmt *funds = db_prepare(db, organization ? sql_funds_of : sql_funds);
    if (!terms || !funds)
        return db_status(db);
    db_int(terms, 1, now_us);
    db_int(terms, 2, organization);
    enum status s = each_row(p, db, terms, set_terms);
    if (!s) {
        forget_funds(p, organization);
        db_int(funds, 2, organization);
        s = each_row(p, db, funds, add_fund);
    }
    if (!s)
        earmark_all_again(p, organization);
    return s;
}

enum status purses_load(struct purses *p, struct db *db, int64_t now_us)
{
    struct db_stmt *next = db_prepare(db, sql_next_terms);
    if (!next)
        return db_status(db);
    db_int(next, 1, now_us);
    enum status s = each_row(p, db, next, set_next_change);
    for (size_t i = 0; i < p->room; i++) /* looked up again: it may have been cut */
        p->slots[i].period = p->slots[i].period_from_us = p->slots[i].period_to_us = 0;
    return s ? s : purse_load(p, db, now_us, 0);
}

/* ---- taking and giving back ---------------------------------------------------------------- */

static int64_t lesser(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool serves(const struct fund *f, int64_t model, int64_t now_us)
{
    return f->left > 0 && (f->model == 0 || f->model == model) && f->from_us <= now_us &&
           now_us < f->to_us;
}

static bool credit_covers(const struct purse *o, int64_t atoms)
{
    int64_t taken;
    return atoms == 0 ||
           (!__builtin_add_overflow(o->credit_used, o->credit_held, &taken) &&
            !__builtin_add_overflow(taken, atoms, &taken) && taken <= o->credit_limit);
}

enum status purse_plan(const struct purse *o, int64_t model, int64_t atoms, int64_t now_us,
                       struct draws *ret)
{
    assert(atoms >= 0);
    *ret = (struct draws){ .credit = atoms };
    for (unsigned i = 0; i < o->fund_count && ret->credit > 0 && ret->count < DRAWS_MAX; i++) {
        const struct fund *f = &o->funds[i];
        if (!serves(f, model, now_us))
            continue;
        int64_t part = lesser(f->left, ret->credit);
        ret->draw[ret->count++] = (struct draw){ f->id, part };
        ret->credit -= part;
    }
    return credit_covers(o, ret->credit) ? STATUS_OK : STATUS_NO_QUOTA;
}

static void earmark(struct purse *o, const struct draws *d, int sign)
{
    o->credit_held += sign * d->credit;
    for (unsigned i = 0; i < d->count; i++) {
        struct fund *f = find_fund(o, d->draw[i].fund);
        if (f) /* NULL: used up or expired meanwhile, so nobody asks for what is left of it */
            f->left -= sign * d->draw[i].atoms;
    }
}

enum status purse_hold(struct purses *p, struct purse *o, rid_t rid, const struct draws *d)
{
    if (d->count && !marks_put(&p->marks, rid, d))
        return STATUS_NO_MEMORY;
    earmark(o, d, 1);
    return STATUS_OK;
}

static void taken_by(const struct purses *p, rid_t rid, int64_t atoms, struct draws *ret)
{
    const struct draws *marked = marks_find(&p->marks, rid);
    *ret = marked ? *marked : (struct draws){ .credit = atoms };
}

/* False: that are too many funds. */
static bool add_draws(struct draws *to, const struct draws *d)
{
    to->credit += d->credit;
    for (unsigned i = 0; i < d->count; i++) {
        unsigned at = 0;
        while (at < to->count && to->draw[at].fund != d->draw[i].fund)
            at++;
        if (at == DRAWS_MAX)
            return false;
        if (at == to->count)
            to->draw[to->count++] = (struct draw){ .fund = d->draw[i].fund };
        to->draw[at].atoms += d->draw[i].atoms;
    }
    return true;
}

/* The place in the order of drawing; -1: the fund is used up or expired, and was before all. */
static ptrdiff_t place_of(const struct purse *o, const struct draw *d)
{
    for (unsigned i = 0; i < o->fund_count; i++)
        if (o->funds[i].id == d->fund)
            return i;
    return -1;
}

/* A part may draw on a fund that comes before those of earlier parts. */
static void put_in_order(const struct purse *o, struct draws *d)
{
    for (unsigned i = 1; i < d->count; i++)
        for (unsigned at = i; at > 0 && place_of(o, &d->draw[at]) < place_of(o, &d->draw[at - 1]);
             at--) {
            struct draw moved = d->draw[at];
            d->draw[at] = d->draw[at - 1];
            d->draw[at - 1] = moved;
        }
}

enum status purse_hold_more(struct purses *p, struct purse *o, rid_t rid, int64_t atoms,
                            const struct draws *d, struct draws *ret_before)
{
    taken_by(p, rid, atoms, ret_before);
    struct draws all = *ret_before;
    if (!add_draws(&all, d))
        return STATUS_NO_QUOTA;
    put_in_order(o, &all);
    if (all.count && !marks_put(&p->marks, rid, &all))
        return STATUS_NO_MEMORY;
    earmark(o, d, 1);
    return STATUS_OK;
}

void purse_unhold_more(struct purses *p, struct purse *o, rid_t rid, const struct draws *d,
                       const struct draws *before)
{
    if (!before->count)
        marks_drop(&p->marks, rid);
    bool kept = !before->count || marks_put(&p->marks, rid, before);
    assert(kept); /* it is there already */
    earmark(o, d, -1);
}

void purse_unhold(struct purses *p, struct purse *o, rid_t rid, int64_t atoms)
{
    struct draws held;
    taken_by(p, rid, atoms, &held);
    marks_drop(&p->marks, rid);
    earmark(o, &held, -1);
}

/* Adds what was paid, or with -1 takes it back. */
static void pay(struct purse *o, const struct draws *paid, int sign)
{
    o->credit_used += sign * paid->credit;
    o->on_credit += sign * paid->credit;
    for (unsigned i = 0; i < paid->count; i++) {
        struct fund *f = find_fund(o, paid->draw[i].fund);
        assert(f); /* it was earmarked, and funds are forgotten only when nothing is left of them */
        f->left -= sign * paid->draw[i].atoms;
        f->drawn += sign * paid->draw[i].atoms;
        o->posts[f->kind] += sign * paid->draw[i].atoms;
    }
}

void purse_quote(const struct purses *p, rid_t rid, int64_t atoms, int64_t amount,
                 struct draws *ret_held, struct draws *ret_paid)
{
    assert(0 <= amount && amount <= atoms);
    taken_by(p, rid, atoms, ret_held);
    *ret_paid = (struct draws){ .count = 0 };
    for (unsigned i = 0; i < ret_held->count && amount > 0; i++) {
        int64_t part = lesser(ret_held->draw[i].atoms, amount);
        ret_paid->draw[ret_paid->count++] = (struct draw){ ret_held->draw[i].fund, part };
        amount -= part;
    }
    assert(amount <= ret_held->credit);
    ret_paid->credit = amount;
}

void purse_settle(struct purses *p, struct purse *o, rid_t rid, const struct draws *held,
                  const struct draws *paid)
{
    marks_drop(&p->marks, rid);
    earmark(o, held, -1);
    pay(o, paid, 1);
}

void purse_unsettle(struct purses *p, struct purse *o, rid_t rid, const struct draws *held,
                    const struct draws *paid)
{
    pay(o, paid, -1);
    /* There was room for it a moment ago, and marks_drop leaves the table as large as it was. */
    bool kept = !held->count || marks_put(&p->marks, rid, held);
    assert(kept);
    earmark(o, held, 1);
}
