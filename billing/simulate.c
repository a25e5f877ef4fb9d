/* billing/simulate.c -- see simulate.h: the settlements of a month, one after the other, and the
 * table that is made of them. */
#include "billing/simulate.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/archive.h"
#include "billing/decimal.h"
#include "billing/names.h"
#include "billing/organization.h"
#include "billing/period.h"
#include "billing/rate.h"
#include "billing/report.h"
#include "billing/simulate_inside.h"
#include "billing/zone.h"
#include <stdlib.h>
#include <string.h>

/* A month of any time zone begins within fifteen hours of that of UTC. */
#define ZONE_US (INT64_C(15) * HOUR_US)

static const char sql_periods[] =
    "SELECT id, organization, starts_us, ends_us, time_zone FROM billing_period"
    " WHERE starts_us >= ?1 AND starts_us < ?2 AND (?3 = 0 OR organization = ?3)"
    " ORDER BY organization, starts_us";
/* By the time in a request's id, as in report.c. */
static const char sql_settled[] =
    "SELECT p.organization, s.settled_us, o.model, s.model, s.model_served, s.price_version,"
    " s.outcome, s.amount_atoms, s.lines, o.accepted_us FROM settlement s"
    " JOIN request_open o ON o.rid = s.rid JOIN project p ON p.id = s.project"
    " WHERE s.rid >= ((?1 / 1000 - 1704067200000 - 31 * 86400000) << 22)"
    " AND s.settled_us >= ?1 AND s.settled_us < ?2 AND (?3 = 0 OR p.organization = ?3)"
    " ORDER BY s.rid";
static const char sql_organization[] = "SELECT slug FROM organization WHERE id = ?1";
static const char sql_model[] = "SELECT name FROM name WHERE id = ?1";
static const char sql_currency[] = "SELECT currency FROM meta";

struct span_of_time {
    int64_t id, organization, from_us, to_us;
};

struct work {
    struct simulate s;
    struct span_of_time *periods; /* by organization and start */
    size_t period_count, period_room;
    struct tally sums; /* organization, model, why -> requests, amount, would */
    json_t *data, *not_rated;
    int64_t total[3];
};

static void work_clear(struct work *w)
{
    simulate_close(&w->s);
    tally_free(&w->sums);
    free(w->periods);
    json_decref(w->data);
    json_decref(w->not_rated);
}

/* ---- whose periods are of the month -------------------------------------------------------- */

static enum status add_period(struct work *w, struct db_stmt *s, int year, int month)
{
    struct zone *zone = NULL;
    int y, m, d;
    enum status status = zone_open(db_col_text(s, 4, NULL), &zone);
    if (status)
        return status;
    zone_date(zone, db_col_int(s, 2), &y, &m, &d);
    zone_free(zone);
    if (y != year || m != month)
        return STATUS_OK;
    if (w->period_count == w->period_room) {
        size_t room = w->period_room ? 2 * w->period_room : 64;
        struct span_of_time *more = realloc(w->periods, room * sizeof *more);
        if (!more)
            return STATUS_NO_MEMORY;
        w->periods = more;
        w->period_room = room;
    }
    w->periods[w->period_count++] = (struct span_of_time){ db_col_int(s, 0), db_col_int(s, 1),
                                                           db_col_int(s, 2), db_col_int(s, 3) };
    return STATUS_OK;
}

static enum status read_periods(struct work *w, const char *month, int64_t organization,
                                int64_t *ret_from_us, int64_t *ret_to_us)
{
    if (!report_month(month, ret_from_us, ret_to_us))
        return STATUS_BAD_FIELD;
    struct db_stmt *s = db_prepare(w->s.db, sql_periods);
    if (!s)
        return db_status(w->s.db);
    *ret_from_us -= ZONE_US;
    *ret_to_us += ZONE_US;
    db_int(s, 1, *ret_from_us);
    db_int(s, 2, *ret_to_us);
    db_int(s, 3, organization);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = add_period(w, s, (int)strtol(month, NULL, 10), (int)strtol(month + 5, NULL, 10));
    if (row == DB_FAILED)
        status = db_status(w->s.db);
    db_reset(s);
    return status;
}

/* 0: it is of another month. */
static int64_t find_period(const struct work *w, int64_t organization, int64_t us)
{
    size_t low = 0, high = w->period_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct span_of_time *p = &w->periods[middle];
        if (p->organization < organization || (p->organization == organization && p->to_us <= us))
            low = middle + 1;
        else
            high = middle;
    }
    const struct span_of_time *p = &w->periods[low];
    bool found = low < w->period_count && p->organization == organization && p->from_us <= us;
    return found ? p->id : 0;
}

/* ---- one settlement ------------------------------------------------------------------------ */

static struct span word_of(const json_t *facts, const char *key)
{
    const json_t *word = json_object_get(facts, key);
    return (struct span){ json_is_string(word) ? json_string_value(word) : "",
                          json_string_length(word) };
}

/* What volume prices gave back of what was charged is no charge, of what is rated again. */
static enum status note_charged(struct work *w, const struct simulate_request *r,
                                const json_t *lines)
{
    size_t i;
    const json_t *line;
    enum status s = STATUS_OK;
    json_array_foreach (lines, i, line)
        if (!s && json_is_array(line))
            s = simulate_charged(&w->s, r, json_integer_value(json_array_get(line, 0)),
                                 json_integer_value(json_array_get(line, 3)),
                                 json_integer_value(json_array_get(line, 1)),
                                 json_integer_value(json_array_get(line, 2)));
    return s;
}

/* The units of each meter, in however many lines; then what the request was. */
static enum status read_usage(const json_t *lines, struct simulate_request *r)
{
    size_t i;
    const json_t *line, *facts = NULL;
    json_array_foreach (lines, i, line) {
        json_int_t meter = json_integer_value(json_array_get(line, 0));
        json_int_t qty = json_integer_value(json_array_get(line, 1));
        if (json_is_object(line))
            facts = line;
        else if (meter < 0 || meter >= METER_COUNT || qty < 0)
            return STATUS_INTERNAL;
        else if (qty) {
            r->qty[meter] += (uint64_t)qty;
            r->meters |= UINT32_C(1) << meter;
        }
    }
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        r->facts.dim[d] = word_of(facts, price_dim_name((enum price_dim)d));
    r->facts.accepted_us = r->accepted_us;
    r->facts.context = json_integer_value(json_object_get(facts, "context"));
    for (unsigned m = 0; !facts && m < METER_COUNT; m++)
        r->facts.context += (METERS_TOKENS_IN >> m & 1) ? (int64_t)r->qty[m] : 0;
    return STATUS_OK;
}

static enum status add_up(struct work *w, const struct simulate_request *r, enum simulate_why why,
                          int64_t amount, int64_t would)
{
    struct tally_row *row =
        tally_row(&w->sums, (int64_t[TALLY_KEYS]){ r->organization, r->billed, why });
    if (!row)
        return STATUS_NO_MEMORY;
    row->sum[0]++;
    bool over = __builtin_add_overflow(row->sum[1], amount, &row->sum[1]) ||
                __builtin_add_overflow(row->sum[2], would, &row->sum[2]);
    return over ? STATUS_BILLING_OVERFLOW : STATUS_OK;
}

static enum status take_settlement(struct work *w, struct db_stmt *s)
{
    const char *outcome = db_col_text(s, 6, NULL);
    struct simulate_request r = { .organization = db_col_int(s, 0),
                                  .asked = db_col_int(s, 2),
                                  .billed = db_col_int(s, 3),
                                  .served = db_col_int(s, 4),
                                  .version = db_col_int(s, 5),
                                  .accepted_us = db_col_int(s, 9),
                                  .charged = !outcome_name_is_void(outcome),
                                  .unpriced = strcmp(outcome, "ok_unpriced") == 0 };
    int64_t would = 0;
    enum simulate_why why = WHY_RATED;
    r.period = find_period(w, r.organization, db_col_int(s, 1));
    if (!r.period)
        return STATUS_OK;
    AUTO(json_decref_ptr) json_t *lines = json_loads(db_col_text(s, 8, NULL), 0, NULL);
    enum status status = json_is_array(lines) ? read_usage(lines, &r) : STATUS_INTERNAL;
    if (!status)
        status = simulate_rate(&w->s, &r, &why, &would);
    if (!status && !why)
        status = note_charged(w, &r, lines);
    return status ? status : add_up(w, &r, why, db_col_int(s, 7), why ? 0 : would);
}

static enum status take_settlements(struct work *w, int64_t from_us, int64_t to_us,
                                    int64_t organization)
{
    struct db_stmt *s = db_prepare(w->s.db, sql_settled);
    if (!s)
        return db_status(w->s.db);
    for (size_t i = 0; i < w->period_count; i++) { /* a month that began late ends late */
        from_us = w->periods[i].from_us < from_us ? w->periods[i].from_us : from_us;
        to_us = w->periods[i].to_us > to_us ? w->periods[i].to_us : to_us;
    }
    db_int(s, 1, from_us);
    db_int(s, 2, to_us);
    db_int(s, 3, organization);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && w->period_count && (row = db_step(s)) == DB_ROW)
        status = take_settlement(w, s);
    if (row == DB_FAILED)
        status = db_status(w->s.db);
    db_reset(s);
    return status;
}

/* A model that only answered for another one may have no row yet: then its sums begin here. */
static enum status take_back(void *arg, const struct simulate_back *b)
{
    struct work *w = arg;
    struct tally_row *row =
        tally_row(&w->sums, (int64_t[TALLY_KEYS]){ b->organization, b->model, WHY_RATED });
    if (!row)
        return STATUS_NO_MEMORY;
    row->sum[1] -= b->then;
    row->sum[2] -= b->now;
    return STATUS_OK;
}

/* ---- the table ----------------------------------------------------------------------------- */

static json_t *name_of(struct db *db, const char *sql, int64_t id)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return NULL;
    if (id)
        db_int(s, 1, id);
    json_t *name = db_step(s) == DB_ROW ? json_string(db_col_text(s, 0, NULL)) : json_string("");
    db_reset(s);
    return name;
}

static int put_amounts(json_t *o, const int64_t sum[static 3])
{
    char then[MONEY_TEXT_BYTES], now[MONEY_TEXT_BYTES], more[MONEY_TEXT_BYTES];
    json_t *amounts =
        json_pack("{s:s, s:s, s:s}", "amount", money_text((money_t){ sum[1] }, 2, then), "would",
                  money_text((money_t){ sum[2] }, 2, now), "difference",
                  money_text((money_t){ sum[2] - sum[1] }, 2, more));
    return amounts ? json_object_update_new(o, amounts) : -1;
}

static enum status put_row(struct work *w, const struct tally_row *row)
{
    static const char *const sentences[] = {
#define X(NAME, text) [WHY_##NAME] = text,
        SIMULATE_WHY_MAP(X)
#undef X
    };
    char amount[MONEY_TEXT_BYTES];
    json_t *o = json_pack(
        "{s:o, s:o, s:I}", "organization", name_of(w->s.db, sql_organization, row->key[0]), "model",
        name_of(w->s.db, sql_model, row->key[1]), "requests", (json_int_t)row->sum[0]);
    int failed = o ? 0 : -1;
    if (!failed && row->key[2])
        failed = json_object_set_new(o, "why", json_string(sentences[row->key[2]])) ||
                 json_object_set_new(o, "amount",
                                     json_string(money_text((money_t){ row->sum[1] }, 2, amount)));
    else if (!failed)
        failed = put_amounts(o, row->sum);
    bool kept = !failed && !json_array_append_new(row->key[2] ? w->not_rated : w->data, o);
    for (int i = 0; i < 3 && !row->key[2]; i++)
        if (__builtin_add_overflow(w->total[i], row->sum[i], &w->total[i]))
            return STATUS_BILLING_OVERFLOW;
    return kept ? STATUS_OK : STATUS_NO_MEMORY;
}

static int by_key(const void *a, const void *b)
{
    const struct tally_row *x = a, *y = b;
    for (unsigned i = 0; i < 3; i++)
        if (x->key[i] != y->key[i])
            return x->key[i] < y->key[i] ? -1 : 1;
    return 0;
}

static enum status put_rows(struct work *w)
{
    size_t count = 0;
    struct tally_row *rows = calloc(w->sums.count + 1, sizeof *rows);
    enum status status = rows ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t i = 0; rows && i < w->sums.room; i++)
        if (w->sums.rows[i].used)
            rows[count++] = w->sums.rows[i];
    if (rows)
        qsort(rows, count, sizeof *rows, by_key);
    for (size_t i = 0; i < count && !status; i++)
        status = put_row(w, &rows[i]);
    free(rows);
    return status;
}

static enum status answer(struct work *w, const char *month, json_t **ret)
{
    json_t *o =
        json_pack("{s:s, s:s, s:o, s:O, s:O, s:I}", "month", month, "price_book",
                  w->s.books->book->price_book, "currency", name_of(w->s.db, sql_currency, 0),
                  "data", w->data, "not_rated", w->not_rated, "requests", (json_int_t)w->total[0]);
    if (!o || put_amounts(o, w->total)) {
        json_decref(o);
        return STATUS_NO_MEMORY;
    }
    *ret = o;
    return STATUS_OK;
}

enum status simulate_month(struct db *db, const struct simulate_books *books, const char *month,
                           const char *organization, json_t **ret)
{
    AUTO(work_clear) struct work w = { .data = json_array(), .not_rated = json_array() };
    int64_t payer = 0, from_us, to_us;
    enum status s = simulate_open(&w.s, db, books);
    if (!s && organization)
        s = organization_find(db, organization, &payer);
    if (!s)
        s = read_periods(&w, month, payer, &from_us, &to_us);
    bool archived = false;
    if (!s)
        s = archive_covers(db, from_us, to_us, &archived);
    if (archived)
        return STATUS_CONFLICT;
    if (!s)
        s = take_settlements(&w, from_us, to_us, payer);
    if (!s)
        s = simulate_close_periods(&w.s, take_back, &w);
    if (!s)
        s = put_rows(&w);
    return s ? s : answer(&w, month, ret);
}
