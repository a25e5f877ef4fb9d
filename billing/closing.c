/* billing/closing.c -- see closing.h. */
#include "billing/closing.h"
#include "base/db.h"
#include "billing/fund.h"
#include "billing/period.h"
#include "billing/posting.h"
#include "billing/prorate.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char sql_starts[] =
    "SELECT starts_us FROM contract WHERE organization = ?1 AND starts_us > ?2 AND starts_us < ?3"
    " ORDER BY starts_us";
static const char sql_deferred[] =
    "SELECT id, at_us, amount_atoms FROM charge WHERE organization = ?1 AND deferred <> 0"
    " AND at_us < ?2 AND at_us >= ?2 - 34560000000000"; /* the last 400 days */
static const char sql_fee_began[] =
    "SELECT starts_us, plan FROM contract WHERE organization = ?1 AND starts_us <= ?2"
    " ORDER BY starts_us DESC";

enum { SEGMENTS_MAX = 16, MONTHS = 12 };

struct segment { /* of the period, under one contract */
    int64_t from_us, to_us;
    struct contract contract;
};

struct work {
    struct db *db;
    const struct zone *zone;
    int64_t organization, from_us, to_us;
    struct segment segment[SEGMENTS_MAX];
    unsigned count;
    struct closing *out;
};

static enum status add(struct work *w, const char *kind, int64_t atoms, bool deferred,
                       const char *text)
{
    if (atoms == 0)
        return STATUS_OK;
    if (w->out->count == CLOSING_CHARGES_MAX)
        return STATUS_BAD_FIELD;
    struct closing_charge *c = &w->out->charge[w->out->count++];
    *c = (struct closing_charge){ .kind = kind, .atoms = atoms, .deferred = deferred };
    snprintf(c->text, sizeof c->text, "%s", text);
    return STATUS_OK;
}

/* ---- the contracts of the period ----------------------------------------------------------- */

static enum status add_segment(struct work *w, int64_t from_us)
{
    if (w->count == SEGMENTS_MAX)
        return STATUS_BAD_FIELD;
    struct segment *s = &w->segment[w->count];
    enum status status = contract_at(w->db, w->organization, from_us, &s->contract);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK; /* it had none yet */
    if (w->count)
        w->segment[w->count - 1].to_us = from_us;
    s->from_us = from_us;
    s->to_us = w->to_us;
    w->count += status == STATUS_OK;
    return status;
}

static enum status find_segments(struct work *w)
{
    int64_t starts[SEGMENTS_MAX];
    unsigned count = 0;
    struct db_stmt *s = db_prepare(w->db, sql_starts);
    if (!s)
        return db_status(w->db);
    db_int(s, 1, w->organization);
    db_int(s, 2, w->from_us);
    db_int(s, 3, w->to_us);
    enum db_row row;
    while ((row = db_step(s)) == DB_ROW && count < SEGMENTS_MAX)
        starts[count++] = db_col_int(s, 0);
    db_reset(s);
    if (row == DB_FAILED)
        return db_status(w->db);
    enum status status = row == DB_ROW ? STATUS_BAD_FIELD : add_segment(w, w->from_us);
    for (unsigned i = 0; i < count && !status; i++)
        status = add_segment(w, starts[i]);
    return status;
}

/* Neighbours that want the same are one, so that nothing is rounded twice. */
static unsigned join(const struct work *w, unsigned at,
                     bool (*same)(const struct plan *a, const struct plan *b), int64_t *ret_to_us)
{
    unsigned last = at;
    while (last + 1 < w->count &&
           same(&w->segment[at].contract.plan, &w->segment[last + 1].contract.plan))
        last++;
    *ret_to_us = w->segment[last].to_us;
    return last;
}

/* The share of the month's days that [from, to) has; the day of a change is the new contract's. */
static enum status by_days(const struct work *w, int64_t atoms, int64_t from_us, int64_t to_us,
                           int64_t *ret)
{
    int64_t month_from, month_to;
    zone_month(w->zone, w->from_us, &month_from, &month_to);
    return prorate(atoms, zone_days(w->zone, from_us, to_us),
                   zone_days(w->zone, month_from, month_to), ret);
}

static void append(char text[static CLOSING_TEXT_BYTES], const char *more)
{
    size_t len = strlen(text);
    snprintf(text + len, CLOSING_TEXT_BYTES - len, "%s", more);
}

/* Behind what `text` says already, how by_days comes to it: "2 of 28 days of 300.00", or "300.00". */
static void say_days(const struct work *w, int64_t atoms, int64_t from_us, int64_t to_us,
                     char text[static CLOSING_TEXT_BYTES])
{
    int64_t month_from, month_to;
    char days[64], whole[MONEY_TEXT_BYTES];
    zone_month(w->zone, w->from_us, &month_from, &month_to);
    int64_t some = zone_days(w->zone, from_us, to_us);
    int64_t all = zone_days(w->zone, month_from, month_to);
    snprintf(days, sizeof days, "%" PRId64 " of %" PRId64 " days of ", some, all);
    append(text, some != all ? days : "");
    append(text, money_text((money_t){ atoms }, 2, whole));
}

/* ---- the fee ------------------------------------------------------------------------------- */

static bool same_fee(const struct plan *a, const struct plan *b)
{
    return a->fee.atoms == b->fee.atoms && a->yearly == b->yearly;
}

/* The first instant of the day that it lies in. */
static int64_t day_of(const struct zone *z, int64_t us)
{
    int year, month, day;
    zone_date(z, us, &year, &month, &day);
    return zone_day(z, year, month, day);
}

static enum status monthly_fee(struct work *w, const struct plan *p, int64_t from_us, int64_t to_us)
{
    char text[CLOSING_TEXT_BYTES], from[ZONE_DAY_BYTES], to[ZONE_DAY_BYTES];
    int64_t atoms;
    enum status s = by_days(w, p->fee.atoms, from_us, to_us, &atoms);
    snprintf(text, sizeof text, "subscription %s to %s: ", zone_day_text(w->zone, from_us, from),
             zone_day_text(w->zone, day_of(w->zone, to_us) - 1, to));
    say_days(w, p->fee.atoms, from_us, to_us, text);
    return s ? s : add(w, "subscription", atoms, false, text);
}

/* When the contracts that ask for this fee began, one after the other. */
static enum status fee_began(const struct work *w, const struct segment *g, int64_t *ret_us)
{
    struct db_stmt *s = db_prepare(w->db, sql_fee_began);
    if (!s)
        return db_status(w->db);
    db_int(s, 1, w->organization);
    db_int(s, 2, g->from_us);
    *ret_us = g->from_us;
    enum db_row row;
    bool goes_on = true;
    while (goes_on && (row = db_step(s)) == DB_ROW) {
        char err[256];
        struct plan p;
        json_t *plan = json_loads(db_col_text(s, 1, NULL), 0, NULL);
        goes_on = plan && plan_read(plan, &p, err) == STATUS_OK && same_fee(&p, &g->contract.plan);
        json_decref(plan);
        if (goes_on)
            *ret_us = db_col_int(s, 0);
    }
    db_reset(s);
    return goes_on && row == DB_FAILED ? db_status(w->db) : STATUS_OK;
}

/* A year's fee is due on the day of the year on which it began. */
static enum status yearly_fee(struct work *w, const struct segment *g, int64_t to_us)
{
    int64_t began_us = g->from_us;
    int year, month, day, this_year, m, d;
    char text[CLOSING_TEXT_BYTES], from[ZONE_DAY_BYTES];
    enum status s = fee_began(w, g, &began_us);
    if (s)
        return s;
    zone_date(w->zone, began_us, &year, &month, &day);
    zone_date(w->zone, w->from_us, &this_year, &m, &d);
    for (int y = this_year; y <= this_year + 1; y++) {
        int64_t due_us = y == year ? began_us : zone_day(w->zone, y, month, day);
        if (y < year || due_us < g->from_us || due_us >= to_us)
            continue;
        snprintf(text, sizeof text, "subscription for a year from %s",
                 zone_day_text(w->zone, due_us, from));
        return add(w, "subscription", g->contract.plan.fee.atoms, true, text);
    }
    return STATUS_OK;
}

static enum status add_fees(struct work *w)
{
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < w->count && !s; i++) {
        const struct segment *g = &w->segment[i];
        int64_t to_us;
        i = join(w, i, same_fee, &to_us);
        if (g->contract.plan.fee.atoms)
            s = g->contract.plan.yearly ? yearly_fee(w, g, to_us)
                                        : monthly_fee(w, &g->contract.plan, g->from_us, to_us);
    }
    return s;
}

/* ---- capacity and minimum ------------------------------------------------------------------ */

/* "241", or "240.500000": to the millionth of an hour. */
static void say_hours(int64_t us, char ret[static 32])
{
    int64_t millionths = (us + HOUR_US / 2000000) / (HOUR_US / 1000000);
    int64_t rest = millionths % 1000000;
    int len = snprintf(ret, 32, "%" PRId64, millionths / 1000000);
    if (rest)
        snprintf(ret + len, 32 - (size_t)len, ".%06" PRId64, rest);
}

static enum status add_reserved(struct work *w)
{
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < w->count && !s; i++) {
        const struct segment *g = &w->segment[i];
        for (unsigned k = 0; k < g->contract.plan.reserved_count && !s; k++) {
            const struct reserved *r = &g->contract.plan.reserved[k];
            int64_t whole, hours = (g->to_us - g->from_us) / HOUR_US, atoms;
            int64_t rest_us = (g->to_us - g->from_us) % HOUR_US;
            char text[CLOSING_TEXT_BYTES], hourly[MONEY_TEXT_BYTES], spent[32];
            if (__builtin_mul_overflow(r->hourly.atoms, r->units, &whole) ||
                __builtin_mul_overflow(whole, hours, &atoms))
                return STATUS_BILLING_OVERFLOW;
            int64_t rest = 0;
            s = prorate(whole, rest_us, HOUR_US, &rest);
            say_hours(g->to_us - g->from_us, spent);
            snprintf(text, sizeof text, "%s: %" PRId64 " reserved, %s hours at %s", r->text,
                     r->units, spent, money_text(r->hourly, 2, hourly));
            if (!s)
                s = add(w, "reserved", atoms + rest, false, text);
        }
    }
    return s;
}

static bool same_minimum(const struct plan *a, const struct plan *b)
{
    return a->minimum.atoms == b->minimum.atoms;
}

static enum status add_minimum(struct work *w, int64_t used_atoms)
{
    int64_t minimum = 0;
    char text[CLOSING_TEXT_BYTES] = "shortfall to the minimum of the contract: ";
    char used[MONEY_TEXT_BYTES];
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < w->count && !s; i++) {
        int64_t part = 0, to_us;
        const struct segment *g = &w->segment[i];
        i = join(w, i, same_minimum, &to_us);
        if (!g->contract.plan.minimum.atoms)
            continue;
        s = by_days(w, g->contract.plan.minimum.atoms, g->from_us, to_us, &part);
        append(text, minimum ? " + " : "");
        say_days(w, g->contract.plan.minimum.atoms, g->from_us, to_us, text);
        minimum += part;
    }
    append(text, " less ");
    append(text, money_text((money_t){ used_atoms }, 2, used));
    append(text, " used");
    int64_t missing = minimum > used_atoms ? minimum - used_atoms : 0;
    return s ? s : add(w, "minimum", missing, false, text);
}

enum status closing_compute(struct db *db, int64_t organization, const struct zone *z,
                            int64_t from_us, int64_t to_us, int64_t used_atoms, struct closing *ret)
{
    struct work w = { .db = db,
                      .zone = z,
                      .organization = organization,
                      .from_us = from_us,
                      .to_us = to_us,
                      .out = ret };
    ret->count = 0;
    enum status s = find_segments(&w);
    if (!s)
        s = add_fees(&w);
    if (!s)
        s = add_reserved(&w);
    return s ? s : add_minimum(&w, used_atoms);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Which of the twelve months that a yearly fee is earned in this one is; -1: none. */
static int month_of(const struct zone *z, int64_t began_us, int64_t from_us)
{
    int y1, m1, d1, y2, m2, d2;
    zone_date(z, began_us, &y1, &m1, &d1);
    zone_date(z, from_us, &y2, &m2, &d2);
    int at = (y2 - y1) * MONTHS + m2 - m1;
    return at >= 0 && at < MONTHS ? at : -1;
}

static enum status earn(struct db *db, int64_t organization, int64_t charge, int64_t atoms, int at,
                        int64_t now_us)
{
    static const int64_t equal[MONTHS] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    int64_t part[MONTHS];
    char ref[24];
    snprintf(ref, sizeof ref, "%" PRId64, charge);
    enum status s = prorate_parts(atoms, equal, MONTHS, part);
    if (s)
        return s;
    const struct transfer earned = { .kind = "earned",
                                     .ref = ref,
                                     .organization = organization,
                                     .debit = ACCOUNT_DEFERRED_REVENUE,
                                     .credit = ACCOUNT_REVENUE,
                                     .atoms = part[at] };
    return posting_transfer(db, &earned, now_us);
}

/* Read whole before anything is posted, so that no scan sees its own work. */
static enum status earn_deferred(struct db *db, int64_t organization, const struct zone *z,
                                 int64_t from_us, int64_t to_us, int64_t now_us)
{
    struct {
        int64_t id, at_us, atoms;
    } due[SEGMENTS_MAX];
    unsigned count = 0;
    struct db_stmt *s = db_prepare(db, sql_deferred);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    db_int(s, 2, to_us);
    enum db_row row;
    while ((row = db_step(s)) == DB_ROW && count < SEGMENTS_MAX) {
        due[count].id = db_col_int(s, 0);
        due[count].at_us = db_col_int(s, 1);
        due[count++].atoms = db_col_int(s, 2);
    }
    db_reset(s);
    enum status status = row == DB_FAILED ? db_status(db)
                         : row == DB_ROW  ? STATUS_BAD_FIELD
                                          : STATUS_OK;
    for (unsigned i = 0; i < count && !status; i++) {
        int at = month_of(z, due[i].at_us, from_us);
        if (at >= 0)
            status = earn(db, organization, due[i].id, due[i].atoms, at, now_us);
    }
    return status;
}

enum status closing_write(struct db *db, int64_t organization, const struct zone *z,
                          int64_t from_us, int64_t to_us, const struct closing *c, int64_t now_us)
{
    enum status s = STATUS_OK;
    for (unsigned i = 0; i < c->count && !s; i++) {
        const struct closing_charge *one = &c->charge[i];
        const struct charge_new charge = { .organization = organization,
                                           .kind = one->kind,
                                           .text = one->text,
                                           .amount = { one->atoms },
                                           .at_us = to_us - 1,
                                           .deferred = one->deferred };
        s = charge_add(db, &charge, now_us);
    }
    return s ? s : earn_deferred(db, organization, z, from_us, to_us, now_us);
}
