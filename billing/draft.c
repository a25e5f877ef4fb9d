/* billing/draft.c -- the lines of a period, their taxes and totals.
 *
 * A line of usage is a model, a meter and a price version.  Its exact amount is the
 * sum of what was settled less what funds have paid of it (`covered`); a line of a
 * charge is one charge.  Each is rounded once, half away from zero (R6); the net is
 * the sum of the rounded lines (R7), tax is taken once for each category and rate on
 * the sum of its nets (R8), and what the rounding added or took is shown and posted.
 */
#include "billing/document.h"
#include "billing/document_inside.h"
#include "billing/line_price.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/usage.h"
#include "billing/closing.h"
#include "billing/decimal.h"
#include "billing/pricebook.h"
#include "billing/zone.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char sql_organization[] =
    "SELECT id, buyer_name, buyer_address, buyer_tax_id, buyer_reference, po_number,"
    " display_name, (SELECT currency FROM meta) FROM organization WHERE slug = ?1";
/* Of several the first that is not closed, else the last. */
static const char sql_period[] =
    "SELECT id, starts_us, ends_us, closed_us FROM billing_period WHERE organization = ?1"
    " AND starts_us >= ?2 AND starts_us < ?3"
    " ORDER BY closed_us <> 0, CASE closed_us WHEN 0 THEN starts_us ELSE -starts_us END LIMIT 1";
static const char sql_usage[] =
    "SELECT n.name, r.meter, r.price_version, sum(r.qty), sum(r.atoms), sum(r.covered_atoms),"
    " r.item FROM usage_rollup r JOIN name n ON n.id = r.model"
    " WHERE r.hour_us >= ?1 - 3600000000 AND r.hour_us < ?2 AND r.period = ?3"
    " GROUP BY n.name, r.meter, r.price_version, r.item HAVING sum(r.qty) > 0"
    " ORDER BY 1, 2, 3, 7";
static const char sql_charges[] =
    "SELECT kind, text, amount_atoms, tax_category, tax_basis_points, id FROM charge"
    " WHERE organization = ?1 AND at_us >= ?2 AND at_us < ?3 ORDER BY id";

void draft_clear(struct draft *d)
{
    json_decref(d->buyer);
    json_decref(d->currency);
    json_decref(d->lines);
    volume_free(&d->volume);
    zone_free(d->zone);
    seller_clear(&d->own_seller);
    *d = (struct draft){ 0 };
}

/* ---- whose it is, and of when -------------------------------------------------------------- */

static json_t *text_column(struct db_stmt *s, int at)
{
    const char *text = db_col_text(s, at, NULL);
    return json_string(text ? text : "");
}

static json_t *read_buyer(struct db_stmt *s)
{
    bool named = *db_col_text(s, 1, NULL) != '\0';
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "name", text_column(s, named ? 1 : 6), "address",
                     text_column(s, 2), "tax_id", text_column(s, 3), "reference", text_column(s, 4),
                     "po_number", text_column(s, 5));
}

static enum status read_organization(struct db *db, struct draft *d)
{
    struct db_stmt *s = db_prepare(db, sql_organization);
    if (!s)
        return db_status(db);
    db_text(s, 1, d->slug, -1);
    enum db_row row = db_step(s);
    enum status status = row == DB_ROW    ? STATUS_OK
                         : row == DB_DONE ? STATUS_NOT_FOUND
                                          : db_status(db);
    if (row == DB_ROW) {
        d->organization = db_col_int(s, 0);
        d->buyer = read_buyer(s);
        d->currency = text_column(s, 7);
        if (!d->buyer || !d->currency)
            status = STATUS_NO_MEMORY;
    }
    db_reset(s);
    return status;
}

static enum status read_month(struct db *db, struct draft *d, int64_t now_us)
{
    int64_t utc_from, utc_to;
    if (!report_month(d->month, &utc_from, &utc_to))
        return STATUS_BAD_FIELD;
    int64_t middle = utc_from + (utc_to - utc_from) / 2;
    enum status s = contract_at(db, d->organization, now_us, &d->contract);
    if (!s)
        s = zone_open(d->contract.time_zone, &d->zone);
    if (!s)
        zone_month(d->zone, middle, &d->from_us, &d->to_us);
    return s;
}

/* Once the month is over, what follows its last closed period is one more, though nothing was used
 * in it: the subscription went on. */
static void take_period(struct draft *d, struct db_stmt *row, int64_t now_us)
{
    int64_t ends_us = db_col_int(row, 2);
    bool closed = db_col_int(row, 3) != 0;
    if (closed && ends_us < d->to_us && d->to_us <= now_us) {
        d->from_us = ends_us;
        return;
    }
    d->period = db_col_int(row, 0);
    d->from_us = db_col_int(row, 1);
    d->to_us = ends_us;
}

/* The month in the contract's time zone, or a period of it when it was cut.  Its contract is the
 * one of its last moment, not the one that begins when it ends, or today's. */
static enum status read_period(struct db *db, struct draft *d, int64_t now_us)
{
    enum status s = read_month(db, d, now_us);
    struct db_stmt *find = s ? NULL : db_prepare(db, sql_period);
    if (!find)
        return s ? s : db_status(db);
    db_int(find, 1, d->organization);
    db_int(find, 2, d->from_us);
    db_int(find, 3, d->to_us);
    enum db_row row = db_step(find);
    if (row == DB_ROW)
        take_period(d, find, now_us);
    s = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(find);
    int64_t last_us = d->to_us - 1 < now_us ? d->to_us - 1 : now_us;
    return s ? s : contract_at(db, d->organization, last_us, &d->contract);
}

/* ---- lines --------------------------------------------------------------------------------- */

static const char *tax_category(const struct draft *d)
{
    return *d->contract.plan.tax_category ? d->contract.plan.tax_category : "S";
}

static int64_t tax_points(const struct draft *d)
{
    int64_t own = d->contract.plan.tax_basis_points;
    const struct tax_kind *kind = tax_kind_find(tax_category(d));
    if (own >= 0)
        return own;
    return kind && kind->free ? 0 : d->seller->tax_basis_points;
}

/* Rounds it, adds it up and puts what all lines have into it; takes `line`. */
static enum status add_line(struct draft *d, json_t *line, int64_t exact, const char *category,
                            int64_t points)
{
    struct net_line net;
    char exact_text[DECIMAL_TEXT_BYTES], net_text[DECIMAL_TEXT_BYTES];
    enum status s = net_line((money_t){ exact }, d->seller->minor_digits, NET_HALF_UP, &net);
    if (!s && (__builtin_add_overflow(d->exact_atoms, exact, &d->exact_atoms) ||
               __builtin_add_overflow(d->net_minor, net.minor, &d->net_minor) ||
               __builtin_add_overflow(d->rounding_atoms, net.rounding_atoms, &d->rounding_atoms)))
        s = STATUS_BILLING_OVERFLOW;
    AUTO(json_decref_ptr)
    json_t *sums =
        json_pack("{s:I, s:s, s:s, s:s, s:I}", "line", (json_int_t)json_array_size(d->lines) + 1,
                  "exact", decimal_exact(exact, exact_text), "net",
                  decimal_minor(net.minor, d->seller->minor_digits, net_text), "tax_category",
                  category, "tax_basis_points", (json_int_t)points);
    if (!line || !sums || json_object_update(line, sums) != 0)
        s = s ? s : STATUS_NO_MEMORY;
    if (s) {
        json_decref(line);
        return s;
    }
    return json_array_append_new(d->lines, line) ? STATUS_NO_MEMORY : STATUS_OK;
}

/* Takes `line`, of whatever category, and puts into it what price it is about. */
static enum status add_priced(struct draft *d, const struct line_used *u, json_t *line,
                              int64_t exact)
{
    AUTO(json_decref_ptr)
    json_t *of = json_pack("{s:s, s:s, s:s, s:I}", "model", u->model, "meter", meter_name(u->meter),
                           "unit", meter_unit(u->meter), "price_version", (json_int_t)u->version);
    if (!line || !of || json_object_update(line, of) != 0) {
        json_decref(line);
        return STATUS_NO_MEMORY;
    }
    if (u->item) /* of several prices of the meter */
        json_object_set_new(line, "item", json_integer(u->item));
    return add_line(d, line, exact, tax_category(d), tax_points(d));
}

static enum status add_usage(struct db *db, struct draft *d, struct db_stmt *s)
{
    const struct line_used u = { .model = db_col_text(s, 0, NULL),
                                 .meter = (enum meter)db_col_int(s, 1),
                                 .version = db_col_int(s, 2),
                                 .item = (unsigned)db_col_int(s, 6),
                                 .qty = db_col_int(s, 3),
                                 .charged = db_col_int(s, 4),
                                 .covered = db_col_int(s, 5),
                                 .line = json_array_size(d->lines) };
    if (!u.model || (unsigned)u.meter >= METER_COUNT)
        return STATUS_INTERNAL;
    char covered[DECIMAL_TEXT_BYTES];
    json_t *line = NULL;
    enum status status = line_price_read(db, &u, &d->volume, &line);
    if (!status && __builtin_add_overflow(d->used_atoms, u.charged, &d->used_atoms))
        status = STATUS_BILLING_OVERFLOW;
    AUTO(json_decref_ptr)
    json_t *used = json_pack("{s:s, s:I, s:s}", "category", "usage", "quantity", (json_int_t)u.qty,
                             "covered", decimal_exact(u.covered, covered));
    if (!status && (!used || json_object_update(line, used) != 0))
        status = STATUS_NO_MEMORY;
    if (!status)
        return add_priced(d, &u, line, u.charged - u.covered);
    json_decref(line);
    return status;
}

/* ---- what volume prices give back: a line taken back, and the right one (R4) ---------------- */

static json_t *volume_line(const json_t *of, const char *category, const char *what,
                           const struct volume_part *v, int64_t qty, struct price price,
                           int64_t covered)
{
    char text[200], unit[DECIMAL_TEXT_BYTES * 2], paid[DECIMAL_TEXT_BYTES];
    snprintf(text, sizeof text, "%.120s %s: %s", v->model, meter_name(v->meter), what);
    json_t *line = json_pack("{s:s, s:s, s:I, s:s, s:s}", "category", category, "text", text,
                             "quantity", (json_int_t)qty, "unit_price", decimal_price(price, unit),
                             "covered", decimal_exact(covered, paid));
    line_price_copy(of, line);
    return line;
}

static enum status add_volume(struct draft *d, const struct volume_part *v)
{
    const struct line_used u = {
        .model = v->model, .meter = v->meter, .version = v->version, .item = v->item
    };
    json_t *taken = json_array_get(d->lines, v->line);
    if (v->due == v->charged)
        return STATUS_OK;
    d->used_atoms -= v->charged - v->due;
    if (json_object_set_new(taken, "reversed", json_true()))
        return STATUS_NO_MEMORY;
    enum status s = add_priced(
        d, &u, volume_line(taken, "reversal", "taken back", v, -v->qty, v->then, -v->covered),
        v->covered - v->charged);
    int64_t paid = v->due - volume_owed(v);
    return s ? s
             : add_priced(d, &u,
                          volume_line(taken, "volume", "all units at one price", v, v->qty,
                                      v->after, paid),
                          volume_owed(v));
}

static enum status add_volumes(struct draft *d)
{
    enum status s = volume_close(&d->volume);
    for (size_t i = 0; i < d->volume.count && !s; i++)
        s = add_volume(d, &d->volume.part[i]);
    return s;
}

static enum status add_charge(struct draft *d, const char *kind, const char *text, int64_t atoms,
                              const char *category, int64_t points)
{
    return add_line(d, json_pack("{s:s, s:s}", "category", kind, "text", text), atoms, category,
                    points);
}

static enum status add_written_charge(struct db *db, struct draft *d, struct db_stmt *s)
{
    (void)db;
    bool own = !db_col_null(s, 3);
    return add_charge(d, db_col_text(s, 0, NULL), db_col_text(s, 1, NULL), db_col_int(s, 2),
                      own ? db_col_text(s, 3, NULL) : tax_category(d),
                      own ? db_col_int(s, 4) : tax_points(d));
}

static enum status each_row(struct db *db, struct draft *d, struct db_stmt *s,
                            enum status (*add)(struct db *db, struct draft *d, struct db_stmt *s))
{
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add(db, d, s);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

static enum status read_lines(struct db *db, struct draft *d)
{
    struct db_stmt *usage = db_prepare(db, sql_usage), *charges = db_prepare(db, sql_charges);
    d->lines = json_array();
    if (!usage || !charges || !d->lines)
        return usage && charges ? STATUS_NO_MEMORY : db_status(db);
    db_int(usage, 1, d->from_us);
    db_int(usage, 2, d->to_us);
    db_int(usage, 3, d->period);
    enum status s = each_row(db, d, usage, add_usage);
    if (!s)
        s = add_volumes(d);
    if (s)
        return s;
    db_int(charges, 1, d->organization);
    db_int(charges, 2, d->from_us);
    db_int(charges, 3, d->to_us);
    return each_row(db, d, charges, add_written_charge);
}

static enum status add_closing(struct db *db, struct draft *d)
{
    struct closing c;
    enum status s =
        closing_compute(db, d->organization, d->zone, d->from_us, d->to_us, d->used_atoms, &c);
    for (unsigned i = 0; i < c.count && !s; i++)
        s = add_charge(d, c.charge[i].kind, c.charge[i].text, c.charge[i].atoms, tax_category(d),
                       tax_points(d));
    return s;
}

/* ---- totals -------------------------------------------------------------------------------- */

static enum status add_taxes(struct draft *d)
{
    enum status s = document_tax_groups(d->lines, d->seller->minor_digits, d->tax, &d->tax_count);
    for (unsigned g = 0; g < d->tax_count && !s; g++)
        if (__builtin_add_overflow(d->tax_minor, d->tax[g].tax_minor, &d->tax_minor))
            s = STATUS_BILLING_OVERFLOW;
    if (!s && __builtin_add_overflow(d->net_minor, d->tax_minor, &d->gross_minor))
        s = STATUS_BILLING_OVERFLOW;
    return s;
}

enum status draft_begin(struct db *db, const char *organization, const char *month,
                        const struct seller *s, int64_t now_us, struct draft *ret)
{
    *ret = (struct draft){ .seller = s, .slug = organization, .month = month };
    enum status status = read_organization(db, ret);
    if (!status)
        status = seller_to(db, ret->organization, s, &ret->own_seller, &ret->seller);
    return status ? status : read_period(db, ret, now_us);
}

enum status draft_fill(struct db *db, struct draft *d, bool with_closing)
{
    enum status s = read_lines(db, d);
    if (!s && with_closing)
        s = add_closing(db, d);
    return s ? s : add_taxes(d);
}

enum status draft_build(struct db *db, const char *organization, const char *month,
                        const struct seller *s, bool with_closing, int64_t now_us,
                        struct draft *ret)
{
    enum status status = draft_begin(db, organization, month, s, now_us, ret);
    return status ? status : draft_fill(db, ret, with_closing);
}
