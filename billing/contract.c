/* billing/contract.c -- see contract.h. */
#include "billing/contract.h"
#include "base/cleanup.h"
#include "base/db_list.h"
#include "base/json.h"
#include "billing/net.h"
#include "billing/period.h"
#include "billing/zone.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char sql_at[] =
    "SELECT id, starts_us, time_zone, credit_atoms, plan FROM contract"
    " WHERE organization = ?1 AND starts_us <= ?2 ORDER BY starts_us DESC LIMIT 1";
static const char sql_insert[] =
    "INSERT INTO contract (organization, starts_us, time_zone, credit_atoms, plan, created_us)"
    " VALUES (?1,?2,?3,?4,?5,?6)";
static const char sql_later[] =
    "SELECT coalesce(max(starts_us), 0) FROM contract WHERE organization = ?1 AND starts_us >= ?2";
static const char sql_other_zone[] =
    "SELECT count(*) FROM billing_period WHERE organization = ?1 AND time_zone <> ?2";
static const char sql_list[] = "SELECT starts_us, time_zone, credit_atoms, plan FROM contract"
                               " WHERE organization = ?1 ORDER BY starts_us DESC";

/* ---- the plan ------------------------------------------------------------------------------ */

struct raw_plan { /* as it stands in the JSON */
    const char *fee, *fee_every, *included, *minimum, *tax_category;
    int64_t rollover_basis_points, payment_days, tax_basis_points;
    json_t *reserved;
    bool approval;
};

#define AT(field) offsetof(struct raw_plan, field)
static const struct json_spec plan_spec[] = {
    { "approval", WANT_BOOL, false, AT(approval), 0, 0 },
    { "fee", WANT_TEXT, false, AT(fee), 1, 40 },
    { "fee_every", WANT_TEXT, false, AT(fee_every), 4, 5 },
    { "included", WANT_TEXT, false, AT(included), 1, 40 },
    { "minimum", WANT_TEXT, false, AT(minimum), 1, 40 },
    { "payment_days", WANT_INT, false, AT(payment_days), 0, 365 },
    { "reserved", WANT_ARRAY, false, AT(reserved), 1, PLAN_RESERVED_MAX },
    { "rollover_basis_points", WANT_INT, false, AT(rollover_basis_points), 0, 10000 },
    { "tax_basis_points", WANT_INT, false, AT(tax_basis_points), 0, 10000 },
    { "tax_category", WANT_TEXT, false, AT(tax_category), 1, 3 },
    { 0 },
};

struct raw_reserved {
    const char *text, *hourly;
    int64_t units;
};
static const struct json_spec reserved_spec[] = {
    { "hourly", WANT_TEXT, true, offsetof(struct raw_reserved, hourly), 1, 40 },
    { "text", WANT_TEXT, true, offsetof(struct raw_reserved, text), 1, PLAN_TEXT_BYTES - 1 },
    { "units", WANT_INT, true, offsetof(struct raw_reserved, units), 1, 1000000 },
    { 0 },
};

__attribute__((format(printf, 2, 3))) static enum status bad(char err[static 256], const char *fmt,
                                                             ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(err, 256, fmt, args);
    va_end(args);
    return STATUS_BAD_FIELD;
}

static enum status said(enum status s, const struct json_problem *p, char err[static 256])
{
    snprintf(err, 256, "%.60s%s%.180s", p->field, *p->field ? ": " : "", p->text);
    return s;
}

static enum status amount(const char *name, const char *text, money_t *ret, char err[static 256])
{
    if (!text || money_parse(text, ret))
        return STATUS_OK;
    return bad(err, "%s: '%.60s' is not an amount such as 300.00", name, text);
}

static enum status read_reserved(const json_t *list, struct plan *p, char err[static 256])
{
    size_t i;
    json_t *one;
    json_array_foreach (list, i, one) {
        struct raw_reserved raw = { 0 };
        struct json_problem problem;
        if (!json_is_object(one))
            return bad(err, "reserved: each is an object with text, hourly and units");
        enum status s = json_read(one, reserved_spec, &raw, NULL, &problem);
        if (s)
            return said(s, &problem, err);
        struct reserved *r = &p->reserved[p->reserved_count++];
        memcpy(r->text, raw.text, strlen(raw.text) + 1);
        r->units = raw.units;
        s = amount("hourly", raw.hourly, &r->hourly, err);
        if (s)
            return s;
    }
    return STATUS_OK;
}

static enum status read_fee(const struct raw_plan *raw, struct plan *p, char err[static 256])
{
    enum status s = amount("fee", raw->fee, &p->fee, err);
    if (!s)
        s = amount("included", raw->included, &p->included, err);
    if (!s)
        s = amount("minimum", raw->minimum, &p->minimum, err);
    if (s)
        return s;
    p->yearly = raw->fee_every && strcmp(raw->fee_every, "year") == 0;
    if (raw->fee_every && !p->yearly && strcmp(raw->fee_every, "month") != 0)
        return bad(err, "fee_every: '%.10s' is neither month nor year", raw->fee_every);
    if (raw->fee_every && !raw->fee)
        return bad(err, "fee_every has no effect without fee");
    if (raw->rollover_basis_points && !raw->included)
        return bad(err, "rollover_basis_points has no effect without included");
    return STATUS_OK;
}

enum status plan_read(const json_t *plan, struct plan *ret, char err[static 256])
{
    struct raw_plan raw = { .payment_days = 30, .tax_basis_points = -1 };
    struct json_problem problem;
    enum status s = json_read(plan, plan_spec, &raw, NULL, &problem);
    if (s)
        return said(s, &problem, err);
    struct plan p = { .rollover_basis_points = raw.rollover_basis_points,
                      .payment_days = raw.payment_days,
                      .approval = raw.approval,
                      .tax_basis_points = raw.tax_basis_points };
    snprintf(p.tax_category, sizeof p.tax_category, "%s", raw.tax_category ? raw.tax_category : "");
    s = read_fee(&raw, &p, err);
    if (!s)
        s = read_reserved(raw.reserved, &p, err);
    if (!s)
        *ret = p;
    return s;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static enum status read_row(struct db_stmt *s, int64_t organization, struct contract *ret)
{
    char err[256];
    *ret = (struct contract){ .id = db_col_int(s, 0),
                              .organization = organization,
                              .starts_us = db_col_int(s, 1),
                              .credit_atoms = db_col_int(s, 3) };
    snprintf(ret->time_zone, sizeof ret->time_zone, "%s", db_col_text(s, 2, NULL));
    AUTO(json_decref_ptr) json_t *plan = json_loads(db_col_text(s, 4, NULL), 0, NULL);
    return plan && plan_read(plan, &ret->plan, err) == STATUS_OK ? STATUS_OK : STATUS_STORE_FAILED;
}

/* The row in force, and its plan as JSON when asked for. */
static enum status find_at(struct db *db, int64_t organization, int64_t us, struct contract *ret,
                           json_t **ret_plan)
{
    struct db_stmt *s = db_prepare(db, sql_at);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    db_int(s, 2, us);
    enum db_row row = db_step(s);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_NOT_FOUND;
    if (row == DB_ROW)
        status = read_row(s, organization, ret);
    if (row == DB_ROW && !status && ret_plan)
        *ret_plan = json_loads(db_col_text(s, 4, NULL), 0, NULL);
    db_reset(s);
    return status;
}

enum status contract_at(struct db *db, int64_t organization, int64_t us, struct contract *ret)
{
    return find_at(db, organization, us, ret, NULL);
}

static enum status count(struct db *db, const char *sql, int64_t organization, int64_t number,
                         const char *text, int64_t *ret)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    if (text)
        db_text(s, 2, text, -1);
    else
        db_int(s, 2, number);
    return db_first_int(db, s, ret);
}

static enum status check_zone(struct db *db, int64_t organization, const char *name,
                              char err[static 256])
{
    struct zone *zone = NULL;
    int64_t others = 0;
    enum status s = zone_open(name, &zone);
    zone_free(zone);
    if (s == STATUS_NO_MEMORY)
        return s;
    if (s)
        return bad(err, "time_zone: '%.60s' is not a time zone such as Europe/Berlin", name);
    s = count(db, sql_other_zone, organization, 0, name, &others);
    if (s || !others)
        return s;
    bad(err, "time_zone: usage was counted in months of another zone already");
    return STATUS_CONFLICT;
}

/* Only what changes is held to it: an older plan goes on as it was invoiced. */
static enum status check_tax(const struct plan *p, char err[static 256])
{
    const struct tax_kind *kind = tax_kind_find(*p->tax_category ? p->tax_category : "S");
    if (!kind)
        return bad(err, "tax_category: '%s' is none of S, AA, Z, E, AE, K, G, O, L, M, B",
                   p->tax_category);
    if (kind->free && p->tax_basis_points > 0)
        return bad(err, "tax_basis_points: %s is without tax (%s): 0, or another tax_category",
                   kind->category, kind->text);
    return STATUS_OK;
}

static enum status insert(struct db *db, const struct contract *c, const json_t *plan,
                          int64_t now_us)
{
    AUTO(free_ptr) char *text = json_dumps(plan, JSON_COMPACT | JSON_SORT_KEYS);
    struct db_stmt *s = text ? db_prepare(db, sql_insert) : NULL;
    if (!s)
        return text ? db_status(db) : STATUS_NO_MEMORY;
    db_int(s, 1, c->organization);
    db_int(s, 2, c->starts_us);
    db_text(s, 3, c->time_zone, -1);
    db_int(s, 4, c->credit_atoms);
    db_text(s, 5, text, -1);
    db_int(s, 6, now_us);
    return db_run(s);
}

/* Members of `more` replace those of `plan`; null takes one away. */
static bool merge(json_t *plan, const json_t *more)
{
    const char *key;
    json_t *value;
    bool ok = true;
    json_object_foreach ((json_t *)(uintptr_t)more, key, value)
        if (json_is_null(value))
            json_object_del(plan, key);
        else
            ok = ok && json_object_set(plan, key, value) == 0;
    return ok;
}

enum status contract_change(struct db *db, int64_t organization, const struct contract_change *c,
                            int64_t now_us, char err[static 256])
{
    struct contract next;
    AUTO(json_decref_ptr) json_t *plan = NULL;
    int64_t later;
    *err = '\0';
    enum status s = find_at(db, organization, c->starts_us, &next, &plan);
    if (!s)
        s = count(db, sql_later, organization, c->starts_us, NULL, &later);
    if (s)
        return s;
    if (c->starts_us < now_us)
        return bad(err, "from: it lies in the past, where usage was settled under other terms");
    if (later) {
        char at[PERIOD_TEXT_BYTES];
        bad(err, "from: a contract begins at %s already: say a --from after it",
            period_instant_text(later, at));
        return STATUS_CONFLICT;
    }
    next.starts_us = c->starts_us;
    if (c->time_zone)
        snprintf(next.time_zone, sizeof next.time_zone, "%s", c->time_zone);
    if (c->credit_atoms >= 0)
        next.credit_atoms = c->credit_atoms;
    if (!plan || !merge(plan, c->plan))
        return STATUS_NO_MEMORY;
    s = plan_read(plan, &next.plan, err);
    if (!s &&
        (json_object_get(c->plan, "tax_category") || json_object_get(c->plan, "tax_basis_points")))
        s = check_tax(&next.plan, err);
    if (!s)
        s = check_zone(db, organization, next.time_zone, err);
    return s ? s : insert(db, &next, plan, now_us);
}

static json_t *listed(struct db_stmt *s, const void *arg)
{
    (void)arg;
    char begins[PERIOD_TEXT_BYTES], credit[MONEY_TEXT_BYTES];
    bool unlimited = db_col_int(s, 2) == MONEY_ATOMS_MAX;
    return json_pack("{s:s, s:s, s:s?, s:o}", "starts",
                     period_instant_text(db_col_int(s, 0), begins), "time_zone",
                     db_col_text(s, 1, NULL), "credit",
                     unlimited ? NULL : money_text((money_t){ db_col_int(s, 2) }, 2, credit),
                     "plan", json_loads(db_col_text(s, 3, NULL), 0, NULL));
}

enum status contract_list(struct db *db, int64_t organization, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_list);
    db_int(s, 1, organization);
    return db_list(db, s, listed, NULL, ret);
}
