/* billing/simulate_rate.c -- one settled request by the prices of another book. */
#include "base/db.h"
#include "billing/pricebook.h"
#include "billing/rate.h"
#include "billing/simulate_inside.h"
#include <stdlib.h>

enum { ITEMS_MAX = METER_COUNT * PRICE_ITEMS_MAX };

static const char sql_names[] = "SELECT id, name FROM name ORDER BY id DESC";
static const char sql_text[] = "SELECT text FROM price_version WHERE id = ?1";
static const char sql_name[] = "SELECT name FROM name WHERE id = ?1";

void simulate_close(struct simulate *s)
{
    free(s->by_id);
    tally_free(&s->then);
    tally_free(&s->counts);
    tally_free(&s->volume);
}

static int by_organization(const void *key, const void *own)
{
    int64_t a = *(const int64_t *)key, b = ((const struct simulate_own *)own)->organization;
    return (a > b) - (a < b);
}

const struct catalog *simulate_book(const struct simulate *s, int64_t organization)
{
    const struct simulate_books *b = s->books;
    const struct simulate_own *own =
        b->own_count ? bsearch(&organization, b->own, b->own_count, sizeof *b->own, by_organization)
                     : NULL;
    return own ? own->book : b->book;
}

enum status simulate_open(struct simulate *s, struct db *db, const struct simulate_books *books)
{
    static const struct catalog_scope everywhere = { .whole = true };
    *s = (struct simulate){ .db = db, .books = books };
    struct db_stmt *names = db_prepare(db, sql_names);
    if (!names)
        return db_status(db);
    enum db_row row;
    while ((row = db_step(names)) == DB_ROW) {
        int64_t id = db_col_int(names, 0);
        if (!s->by_id) { /* the largest comes first */
            s->room = id + 1;
            s->by_id = calloc((size_t)s->room, sizeof *s->by_id);
        }
        if (!s->by_id)
            break;
        struct span name;
        name.at = db_col_text(names, 1, &name.len);
        s->by_id[id] = catalog_find(books->book, &everywhere, name);
    }
    db_reset(names);
    return row == DB_FAILED ? db_status(db) : row == DB_ROW ? STATUS_NO_MEMORY : STATUS_OK;
}

static const struct catalog_model *model_of(const struct simulate *s,
                                            const struct simulate_request *r, int64_t id)
{
    const struct catalog_model *m = id > 0 && id < s->room ? s->by_id[id] : NULL;
    return m ? &simulate_book(s, r->organization)->models[m->index] : NULL;
}

/* ---- what was known then ------------------------------------------------------------------- */

static enum status text_of(struct db *db, const char *sql, int64_t id, struct db_stmt **ret,
                           const char **ret_text)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    db_int(s, 1, id);
    enum db_row row = db_step(s);
    *ret = s;
    *ret_text = row == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    return row == DB_FAILED ? db_status(db) : *ret_text ? STATUS_OK : STATUS_NOT_FOUND;
}

/* Which meters the billed model had a price for, and what of a request those prices named. */
static enum status read_then(struct simulate *s, const struct simulate_request *r,
                             struct tally_row *row)
{
    struct db_stmt *book = NULL, *name = NULL;
    const char *text = NULL, *model = NULL;
    struct pricebook_line line = { .number = 0 };
    bool bad = false;
    enum status status = text_of(s->db, sql_text, r->version, &book, &text);
    if (!status)
        status = text_of(s->db, sql_name, r->billed, &name, &model);
    row->sum[0] = row->sum[1] = row->sum[2] = 0;
    row->seen = true;
    while (!status && pricebook_next(&text, &line, &bad)) {
        if (!span_is(line.model, model))
            continue;
        row->sum[0] |= INT64_C(1) << line.item.meter;
        row->sum[2] |= line.item.kind == PRICE_VOLUME ? INT64_C(1) << line.item.meter : 0;
        for (unsigned d = 0; d < PRICE_DIMS; d++)
            row->sum[1] |= line.item.dim[d].len ? INT64_C(1) << d : 0;
    }
    if (book)
        db_reset(book);
    if (name)
        db_reset(name);
    return bad ? STATUS_INTERNAL : status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static bool sold(const struct catalog_model *m, unsigned meter)
{
    struct price_item plain;
    struct price_items items = model_prices(m, (enum meter)meter, &plain);
    return items.count > 1 ||
           (items.count && !(price_item_plain(items.at) && !items.at->price.atoms));
}

/* A meter that had no price then was not written down.  Each charged request is one request. */
static bool uncounted(const struct catalog_model *m, int64_t priced_then)
{
    uint32_t left = m->priced & ~(uint32_t)priced_then & ~METER_BIT(REQUESTS);
    for (; left; left &= left - 1)
        if (sold(m, (unsigned)__builtin_ctz(left)))
            return true;
    return false;
}

/* A dimension that no price named then was not written down, and now matters to what was used. */
static bool unknown(const struct catalog_model *m, const struct simulate_request *r, int64_t dims)
{
    unsigned left = m->sheet ? m->sheet->dims & ~(unsigned)dims : 0;
    if (!left)
        return false;
    for (uint32_t meters = r->meters; meters; meters &= meters - 1) {
        unsigned meter = (unsigned)__builtin_ctz(meters);
        for (unsigned i = m->sheet->first[meter]; i < m->sheet->first[meter + 1]; i++)
            for (unsigned d = 0; d < PRICE_DIMS; d++)
                if ((left >> d & 1) && m->sheet->items[i].dim[d].len)
                    return true;
    }
    return false;
}

static enum simulate_why check(const struct catalog_model *m, const struct simulate_request *r,
                               const struct tally_row *then)
{
    if (!m)
        return WHY_NO_MODEL;
    if (r->unpriced)
        return WHY_UNPRICED;
    if (r->meters & ~m->priced & ~METER_BIT(REQUESTS))
        return WHY_NO_PRICE;
    if (uncounted(m, then->sum[0]))
        return WHY_UNCOUNTED;
    return unknown(m, r, then->sum[1]) ? WHY_UNKNOWN : WHY_RATED;
}

/* ---- what it comes to ---------------------------------------------------------------------- */

static enum status rate_plain(const struct catalog_model *m, const struct simulate_request *r,
                              int64_t *ret)
{
    money_t sum = { 0 }, line;
    for (uint32_t left = r->meters & m->priced; left; left &= left - 1) {
        unsigned meter = (unsigned)__builtin_ctz(left);
        if (!money_rate(r->qty[meter], m->price[meter], &line) || !money_add(sum, line, &sum))
            return STATUS_BILLING_OVERFLOW;
    }
    *ret = sum.atoms;
    return STATUS_OK;
}

static struct tally_row *count_of(struct simulate *s, const struct simulate_request *r,
                                  const struct catalog_model *m, unsigned item)
{
    return tally_row(&s->counts,
                     (int64_t[TALLY_KEYS]){ r->organization, r->period, (int64_t)m->index, item });
}

/* The lines of a request whose prices are a sheet, by what the period had used before it. */
static enum status rate_sheet(struct simulate *s, const struct catalog_model *m,
                              const struct simulate_request *r, struct rate_line *lines,
                              unsigned *ret_count, uint32_t *ret_unpriced)
{
    int64_t before[ITEMS_MAX] = { 0 };
    uint32_t meters = r->meters & m->priced;
    for (uint32_t left = meters; left; left &= left - 1) {
        unsigned meter = (unsigned)__builtin_ctz(left);
        for (unsigned i = m->sheet->first[meter]; i < m->sheet->first[meter + 1]; i++) {
            if (!price_item_periodic(&m->sheet->items[i]))
                continue;
            const struct tally_row *row = count_of(s, r, m, i);
            if (!row)
                return STATUS_NO_MEMORY;
            before[i] = row->sum[0];
        }
    }
    const struct rate_request question = {
        .meters = meters, .qty = r->qty, .facts = &r->facts, .before = before
    };
    return rate_request(m->sheet, &question, lines, ret_count, ret_unpriced);
}

static enum status count_lines(struct simulate *s, const struct catalog_model *m,
                               const struct simulate_request *r, const struct rate_line *lines,
                               unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned item = m->sheet->first[lines[i].meter] + lines[i].item;
        if (!price_item_periodic(&m->sheet->items[item]))
            continue;
        struct tally_row *row = count_of(s, r, m, item);
        if (!row)
            return STATUS_NO_MEMORY;
        row->sum[0] += lines[i].qty;
        row->sum[1] += lines[i].amount.atoms;
    }
    return STATUS_OK;
}

static enum status rate_by(struct simulate *s, const struct catalog_model *m,
                           const struct simulate_request *r, struct rate_line *lines,
                           unsigned *ret_count, bool *ret_known, int64_t *ret)
{
    uint32_t unpriced = 0;
    money_t sum = { 0 };
    *ret_count = 0;
    *ret_known = true;
    if (!m->sheet)
        return rate_plain(m, r, ret);
    enum status status = rate_sheet(s, m, r, lines, ret_count, &unpriced);
    for (unsigned i = 0; i < *ret_count && !status; i++)
        if (!money_add(sum, lines[i].amount, &sum))
            status = STATUS_BILLING_OVERFLOW;
    *ret_known = !unpriced;
    *ret = sum.atoms;
    return status;
}

/* The model that was asked for, and the one that answered when that is cheaper, as in the meter
 * stage: prices by the period of the latter are not compared. */
static enum status rate_cheaper(struct simulate *s, const struct simulate_request *r,
                                enum simulate_why *why, int64_t *ret)
{
    const struct catalog_model *by[2] = { model_of(s, r, r->asked), model_of(s, r, r->served) };
    const struct catalog_model *best = NULL;
    struct rate_line lines[2][PRICE_LINES_MAX];
    unsigned count[2] = { 0, 0 }, chosen = 0;
    for (unsigned i = 0; i < (by[1] && by[1] != by[0] ? 2u : 1u); i++) {
        int64_t amount = 0;
        bool known;
        if (i > 0 && by[i]->sheet && by[i]->sheet->periodic)
            break;
        enum status status = rate_by(s, by[i], r, lines[i], &count[i], &known, &amount);
        if (status)
            return status;
        if (!known) {
            *why = WHY_NO_PRICE;
            return STATUS_OK;
        }
        if (best && amount >= *ret)
            continue;
        best = by[i];
        chosen = i;
        *ret = amount;
    }
    return best->sheet ? count_lines(s, best, r, lines[chosen], count[chosen]) : STATUS_OK;
}

enum status simulate_rate(struct simulate *s, struct simulate_request *r,
                          enum simulate_why *ret_why, int64_t *ret)
{
    struct tally_row *then = tally_row(&s->then, (int64_t[TALLY_KEYS]){ r->version, r->billed });
    enum status status = then ? STATUS_OK : STATUS_NO_MEMORY;
    if (!status && !then->seen)
        status = read_then(s, r, then);
    if (status)
        return status;
    if (r->charged && !(r->meters & METER_BIT(REQUESTS))) {
        r->meters |= METER_BIT(REQUESTS);
        r->qty[METER_REQUESTS] = 1;
    }
    *ret_why = WHY_RATED;
    *ret = 0;
    if (!r->charged)
        return STATUS_OK;
    *ret_why = check(model_of(s, r, r->asked), r, then);
    if (!*ret_why && r->served != r->asked && model_of(s, r, r->served))
        *ret_why = check(model_of(s, r, r->served), r, then);
    return *ret_why ? STATUS_OK : rate_cheaper(s, r, ret_why, ret);
}
