/* billing/volume_post.c -- what a period gives back, in the accounts and in the funds.
 *
 * Which funds had paid for a line is in the settlements alone: their draws cover their lines in
 * order.  They are read once more, only of a period whose funds had paid too much.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/accounts.h"
#include "billing/posting.h"
#include "billing/prorate.h"
#include "billing/volume.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MONTH_US (INT64_C(31) * 24 * 3600 * 1000000)

enum { FUNDS_MAX = 256 };

/* By the time in a request's id, as in report.c; of a request (s itself), or of what is resold (x). */
#define DRAWN_SQL(x, from)                                                                        \
    "SELECT " x ".lines, " x ".draws FROM " from " JOIN project p ON p.id = " x ".project"        \
    " JOIN name n ON n.id = " x ".model"                                                          \
    " WHERE " x                                                                                   \
    ".rid >= ((?1 / 1000 - 1704067200000 - 31 * 86400000) << 22) AND s.settled_us >= ?1"          \
    " AND s.settled_us < ?2 AND p.organization = ?3 AND n.name = ?4 AND " x ".price_version = ?5" \
    " AND " x ".draws IS NOT NULL"
static const char sql_drawn[] = DRAWN_SQL("s", "settlement s") " UNION ALL " DRAWN_SQL(
    "x", "resale x JOIN settlement s ON s.rid = x.rid");
static const char sql_return[] =
    "INSERT INTO fund (organization, kind, model, priority, from_us, to_us, amount_atoms, note,"
    " created_us) SELECT organization, kind, model, priority, ?2, max(to_us, ?2 + ?3), ?4, ?5, ?2"
    " FROM fund WHERE id = ?1";
static const char sql_kind[] =
    "SELECT CASE kind WHEN 'promo' THEN 6 WHEN 'commit' THEN 7 ELSE 8 END FROM fund WHERE id = ?1";

struct paid { /* for a part, by funds in the order of their ids */
    int64_t fund[FUNDS_MAX], atoms[FUNDS_MAX];
    size_t count;
};

static enum status add_paid(struct paid *p, int64_t fund, int64_t atoms)
{
    size_t i = 0;
    while (i < p->count && p->fund[i] < fund)
        i++;
    if (i < p->count && p->fund[i] == fund) {
        p->atoms[i] += atoms;
        return STATUS_OK;
    }
    if (p->count == FUNDS_MAX)
        return STATUS_BILLING_OVERFLOW;
    memmove(&p->fund[i + 1], &p->fund[i], (p->count - i) * sizeof *p->fund);
    memmove(&p->atoms[i + 1], &p->atoms[i], (p->count - i) * sizeof *p->atoms);
    p->fund[i] = fund;
    p->atoms[i] = atoms;
    p->count++;
    return STATUS_OK;
}

static int64_t number(const json_t *list, size_t at)
{
    return json_integer_value(json_array_get(list, at));
}

/* The draws of a settlement fill its lines one after the other. */
static enum status share_out(const json_t *lines, const json_t *draws, const struct volume_part *v,
                             struct paid *paid)
{
    size_t draw = 0, i;
    int64_t left = number(json_array_get(draws, 0), 1);
    const json_t *line;
    json_array_foreach (lines, i, line) {
        bool ours = json_is_array(line) && number(line, 0) == (int64_t)v->meter &&
                    number(line, 3) == (int64_t)v->item;
        for (int64_t due = number(line, 2); due && draw < json_array_size(draws);) {
            int64_t part = due < left ? due : left;
            enum status s =
                ours ? add_paid(paid, number(json_array_get(draws, draw), 0), part) : STATUS_OK;
            if (s)
                return s;
            due -= part;
            left -= part;
            if (!left)
                left = number(json_array_get(draws, ++draw), 1);
        }
    }
    return STATUS_OK;
}

static enum status read_paid(struct db *db, const struct volume_part *v,
                             const struct volume_period *p, struct paid *ret)
{
    struct db_stmt *s = db_prepare(db, sql_drawn);
    if (!s)
        return db_status(db);
    db_int(s, 1, p->from_us);
    db_int(s, 2, p->to_us);
    db_int(s, 3, p->organization);
    db_text(s, 4, v->model, -1);
    db_int(s, 5, v->version);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW) {
        AUTO(json_decref_ptr) json_t *lines = json_loads(db_col_text(s, 0, NULL), 0, NULL);
        AUTO(json_decref_ptr) json_t *draws = json_loads(db_col_text(s, 1, NULL), 0, NULL);
        status = lines && draws ? share_out(lines, draws, v, ret) : STATUS_INTERNAL;
    }
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

struct back { /* to the accounts of funds, by their codes */
    int64_t atoms[ACCOUNT_CUSTOMER_PREPAID + 1];
};

static enum status return_to(struct db *db, int64_t fund, int64_t atoms,
                             const struct volume_period *p, int64_t now_us, struct back *back)
{
    char note[120];
    int64_t code = 0;
    struct db_stmt *add = db_prepare(db, sql_return), *kind = db_prepare(db, sql_kind);
    if (!add || !kind)
        return db_status(db);
    snprintf(note, sizeof note, "given back by %.60s, of fund %" PRId64, p->number, fund);
    db_int(add, 1, fund);
    db_int(add, 2, now_us);
    db_int(add, 3, MONTH_US);
    db_int(add, 4, atoms);
    db_text(add, 5, note, -1);
    db_int(kind, 1, fund);
    enum status s = db_run(add);
    if (!s)
        s = db_first_int(db, kind, &code);
    if (!s)
        back->atoms[code] += atoms;
    return s;
}

/* In the proportion in which they had paid for it. */
static enum status return_part(struct db *db, const struct volume_part *v,
                               const struct volume_period *p, int64_t now_us, struct back *back)
{
    struct paid paid = { .count = 0 };
    int64_t part[FUNDS_MAX], sum = 0;
    enum status s = read_paid(db, v, p, &paid);
    for (size_t i = 0; i < paid.count; i++)
        sum += paid.atoms[i];
    if (!s && sum != v->covered)
        return STATUS_INTERNAL; /* the roll-ups say otherwise: the audit tells which is right */
    if (!s)
        s = prorate_parts(v->covered - v->due, paid.atoms, paid.count, part);
    for (size_t i = 0; i < paid.count && !s; i++)
        if (part[i])
            s = return_to(db, paid.fund[i], part[i], p, now_us, back);
    return s;
}

static enum status post(struct db *db, const struct volume_period *p, int64_t less,
                        int64_t unbilled, const struct back *back, int64_t now_us)
{
    int64_t tx;
    enum status s = posting_tx(db, "volume", now_us, p->organization, p->number, &tx);
    if (!s)
        s = posting_entry(db, tx, account_id(p->organization, ACCOUNT_REVENUE), less);
    if (!s)
        s = posting_entry(db, tx, account_id(p->organization, ACCOUNT_UNBILLED), -unbilled);
    for (unsigned code = ACCOUNT_CUSTOMER_PROMO; code <= ACCOUNT_CUSTOMER_PREPAID && !s; code++)
        s = posting_entry(db, tx, account_id(p->organization, (enum account_code)code),
                          -back->atoms[code]);
    return s;
}

enum status volume_post(struct db *db, const struct volume *v, const struct volume_period *p,
                        int64_t now_us)
{
    int64_t less = 0, unbilled = 0;
    struct back back = { { 0 } };
    enum status s = STATUS_OK;
    for (size_t i = 0; i < v->count && !s; i++) {
        const struct volume_part *part = &v->part[i];
        if (part->due == part->charged)
            continue;
        less += part->charged - part->due;
        unbilled += part->charged - part->covered - volume_owed(part);
        if (part->due < part->covered)
            s = return_part(db, part, p, now_us, &back);
    }
    return s || !less ? s : post(db, p, less, unbilled, &back, now_us);
}
