/* billing/audit_rate.c -- each line of a bill rated once more, from the text of its price
 * version and what the settlement says of the request.
 *
 * The rules are written out here a second time: which price holds, what it comes to.  Only
 * the reader of a price book is shared with the rest of billing/.
 */
#include "billing/audit_inside.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "billing/pricebook.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

__extension__ typedef __int128 wide;

enum { WORDS_BYTES_MAX = 1 << 30 };

static const char sql_prices[] = "SELECT id, text FROM price_version ORDER BY id";
static const char sql_costs[] = "SELECT -id, text FROM cost_version ORDER BY id";
static const char sql_name[] = "SELECT id FROM name WHERE name = ?1";

/* ---- price books --------------------------------------------------------------------------- */

/* 0: no request was ever made for it, so it has no id. */
static enum status model_id(struct audit *a, struct span model, int64_t *ret)
{
    struct db_stmt *s = db_prepare(a->db, sql_name);
    if (!s)
        return db_status(a->db);
    db_text(s, 1, model.at, (ptrdiff_t)model.len);
    return db_first_int(a->db, s, ret);
}

static bool copy_words(struct audit *a, struct price_item *i)
{
    if (!a->words)
        a->words = arena_new(WORDS_BYTES_MAX);
    bool fits = a->words != NULL;
    for (unsigned d = 0; fits && d < PRICE_DIMS; d++)
        if (i->dim[d].len) {
            i->dim[d].at = arena_memdup(a->words, i->dim[d].at, i->dim[d].len);
            fits = i->dim[d].at != NULL;
        }
    if (fits && i->tier_count) {
        const void *tiers = arena_memdup(a->words, i->tiers, i->tier_count * sizeof *i->tiers);
        i->tiers = tiers;
        fits = tiers != NULL;
    }
    return fits;
}

/* A copy that outlives the row it was read from; *ret: its place, from 1. */
static bool push_item(struct audit *a, const struct price_item *i, int64_t *ret)
{
    if (a->item_count == a->item_room) {
        size_t room = a->item_room ? a->item_room * 2 : 256;
        struct price_item *items = realloc(a->items, room * sizeof *items);
        if (!items)
            return false;
        a->items = items;
        a->item_room = room;
    }
    a->items[a->item_count] = *i;
    if (!copy_words(a, &a->items[a->item_count]))
        return false;
    *ret = (int64_t)++a->item_count;
    return true;
}

static enum status keep_price(struct audit *a, int64_t version, const struct pricebook_line *line)
{
    int64_t model = 0;
    enum status s = model_id(a, line->model, &model);
    if (s || !model)
        return s;
    struct tally_row *row = tally_row(
        &a->prices, (int64_t[TALLY_KEYS]){ version, model, line->item.meter, line->number });
    if (!row)
        return STATUS_NO_MEMORY;
    row->sum[0] = line->item.price.atoms;
    row->sum[1] = line->item.price.per_units;
    bool plain = price_item_plain(&line->item);
    return plain || push_item(a, &line->item, &row->sum[2]) ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status price_row(struct audit *a, struct db_stmt *s)
{
    int64_t version = db_col_int(s, 0);
    const char *text = db_col_text(s, 1, NULL);
    struct pricebook_line line = { .number = 0 };
    bool bad = false;
    while (pricebook_next(&text, &line, &bad)) {
        enum status status = keep_price(a, version, &line);
        if (status)
            return status;
    }
    if (bad)
        audit_problem(a, "price version %lld: '%.60s' is no line of a price book",
                      (long long)version, text);
    return STATUS_OK;
}

enum status audit_prices(struct audit *a)
{
    enum status s = audit_query(a, sql_prices, price_row);
    return s ? s : audit_query(a, sql_costs, price_row);
}

bool audit_find_item(const struct audit *a, int64_t version, int64_t model, int64_t meter,
                     int64_t number, struct price_item *ret)
{
    const struct tally_row *row =
        tally_find(&a->prices, (int64_t[TALLY_KEYS]){ version, model, meter, number });
    if (!row)
        return false;
    *ret = row->sum[2] ? a->items[row->sum[2] - 1]
                       : price_plain((enum meter)meter, (struct price){ row->sum[0], row->sum[1] });
    return true;
}

static bool find_item(const struct audit *a, const struct audit_line *l, int64_t number,
                      struct price_item *ret)
{
    return audit_find_item(a, l->version, l->model, l->meter, number, ret);
}

/* ---- which price holds --------------------------------------------------------------------- */

/* By the calendar of the C library: another way than that of the price sheet. */
static bool in_hours(const struct time_band *b, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm))
        return false;
    int day = tm.tm_wday == 0 ? 6 : tm.tm_wday - 1, minute = tm.tm_hour * 60 + tm.tm_min;
    bool within = false;
    for (int i = 0; i < b->count; i++)
        within = within || (b->window[i].from <= minute && minute < b->window[i].to);
    return within && (b->days >> day) % 2 == 1;
}

/* How many conditions beside the context it meets; -1: it does not hold. */
static int conditions_met(const struct price_item *i, const struct audit_line *l)
{
    int met = 0;
    if (i->kind == PRICE_INCLUDED || l->facts->context < i->context_min ||
        (i->context_max != PRICE_NO_END && l->facts->context > i->context_max))
        return -1;
    for (int d = 0; d < PRICE_DIMS; d++) {
        struct span named = i->dim[d], given = l->facts->dim[d];
        if (named.len && (named.len != given.len || strncmp(named.at, given.at, named.len) != 0))
            return -1;
        met += named.len != 0;
    }
    if (i->time.days && !in_hours(&i->time, l->accepted_us))
        return -1;
    return met + (i->time.days ? 1 : 0);
}

/* The number of the item that holds; -1: none. */
static int64_t holding(const struct audit *a, const struct audit_line *l)
{
    struct price_item i;
    int64_t best = -1;
    int most = -1;
    for (int64_t n = 0; find_item(a, l, n, &i); n++) {
        int met = conditions_met(&i, l);
        if (met > most) {
            most = met;
            best = n;
        }
    }
    return best;
}

/* ---- what it comes to ---------------------------------------------------------------------- */

/* Half to even, in whole numbers: rule R1 written out once more. */
static wide rated(wide qty, struct price p)
{
    wide product = qty * p.atoms;
    wide down = product / p.per_units;
    wide twice_rest = 2 * (product - down * p.per_units);
    bool up = twice_rest > p.per_units || (twice_rest == p.per_units && down % 2 == 1);
    return down + up;
}

int64_t audit_rated(int64_t qty, struct price p)
{
    return (int64_t)rated(qty, p);
}

static wide graduated(const struct price_item *i, wide at, wide end)
{
    wide sum = 0;
    for (unsigned t = 0; t < i->tier_count && at < end; t++) {
        wide stop = i->tiers[t].up_to < end ? i->tiers[t].up_to : end;
        if (stop <= at)
            continue;
        sum += rated(stop - at, i->tiers[t].price);
        at = stop;
    }
    return sum;
}

static wide dearest(const struct price_item *i, wide qty)
{
    struct price most = { 0, 1 };
    for (unsigned t = 0; t < i->tier_count; t++) {
        struct price p = i->tiers[t].price;
        if ((wide)p.atoms * most.per_units > (wide)most.atoms * p.per_units)
            most = p;
    }
    return rated(qty, most);
}

static wide begun(wide units, int64_t size)
{
    return (units + size - 1) / size;
}

static wide amount_of(const struct price_item *i, const struct audit_line *l)
{
    wide before = l->before, end = before + l->qty;
    switch (i->kind) {
    case PRICE_UNIT:
        return rated(l->qty, i->price);
    case PRICE_GRADUATED:
        return graduated(i, before, end);
    case PRICE_VOLUME:
        return dearest(i, l->qty);
    case PRICE_PACKAGE:
        return (begun(end, i->price.per_units) - begun(before, i->price.per_units)) *
               i->price.atoms;
    case PRICE_FLAT:
        return i->per_period && before > 0 ? 0 : i->price.atoms;
    default:
        return 0;
    }
}

/* ---- one line ------------------------------------------------------------------------------ */

#define LINE_IN "request %" PRId64 ": meter %" PRId64

static void check_choice(struct audit *a, const struct audit_line *l, const struct price_item *i)
{
    if (!l->facts->given)
        audit_problem(a, LINE_IN " is billed by price %" PRId64 ", and nothing says what chose it",
                      l->rid, l->meter, l->item);
    else if (i->kind == PRICE_INCLUDED) {
        if ((wide)l->before + l->qty > i->included)
            audit_problem(a, LINE_IN ": more is free than is included", l->rid, l->meter);
    } else if (holding(a, l) != l->item)
        audit_problem(a, LINE_IN " is billed by price %" PRId64 ", but price %" PRId64 " holds",
                      l->rid, l->meter, l->item, holding(a, l));
}

/* Its meter, kind and conditions, of whatever version: what a period is counted by. */
int64_t audit_series(const struct price_item *i)
{
    char words[400];
    uint8_t sha256[DIGEST_BYTES];
    int64_t id;
    AUTO(buf_free) struct buf conditions;
    buf_init(&conditions, sizeof words / 2);
    bool any = price_conditions_write(&conditions, i) && conditions.len;
    int len = snprintf(words, sizeof words, "%d %d %d%s", i->meter, i->kind, i->per_period,
                       any ? conditions.at : "");
    digest_sha256(words, (size_t)len, sha256);
    memcpy(&id, sha256, sizeof id);
    return id;
}

/* end * end - before * before, as 64 bits keep it.  Added up over lines that stand one behind the
 * other it is the square of their end; a gap and an overlap of the same size change it. */
static uint64_t squares(int64_t before, int64_t end)
{
    return (uint64_t)end * (uint64_t)end - (uint64_t)before * (uint64_t)before;
}

/* The units of a line stand behind those that were used before it. */
static enum status count_units(struct audit *a, const struct audit_line *l,
                               const struct price_item *i)
{
    struct tally_row *row =
        tally_row(&a->counts, (int64_t[TALLY_KEYS]){ l->organization, l->period, l->model,
                                                     audit_series(i), l->meter });
    int64_t end;
    if (!row)
        return STATUS_NO_MEMORY;
    if (__builtin_add_overflow(l->before, l->qty, &end))
        end = INT64_MAX;
    row->sum[0] += l->qty;
    row->sum[1] = end > row->sum[1] ? end : row->sum[1];
    row->sum[2] = (int64_t)((uint64_t)row->sum[2] + squares(l->before, end));
    return STATUS_OK;
}

enum status audit_counts(struct audit *a)
{
    for (size_t i = 0; i < a->counts.room; i++) {
        const struct tally_row *row = &a->counts.rows[i];
        if (!row->used)
            continue;
        a->rows++;
        if (row->sum[0] != row->sum[1] || (uint64_t)row->sum[2] != squares(0, row->sum[1]))
            audit_problem(
                a,
                "organization %" PRId64 " period %" PRId64 " model %" PRId64 " meter %" PRId64
                ": %" PRId64 " units do not stand one behind the other up to "
                "%" PRId64,
                row->key[0], row->key[1], row->key[2], row->key[4], row->sum[0], row->sum[1]);
    }
    return STATUS_OK;
}

enum status audit_line(struct audit *a, const struct audit_line *l)
{
    struct price_item i, other;
    if (!find_item(a, l, l->item, &i)) {
        audit_problem(a, LINE_IN " has no price in its version", l->rid, l->meter);
        return STATUS_OK;
    }
    bool alone = l->item == 0 && price_item_plain(&i) && !find_item(a, l, 1, &other);
    if (!alone)
        check_choice(a, l, &i);
    if (amount_of(&i, l) != l->atoms)
        audit_problem(a,
                      "request %" PRId64 ": %" PRId64 " units of meter %" PRId64
                      " are billed %" PRId64 " atoms, which is not their price",
                      l->rid, l->qty, l->meter, l->atoms);
    return price_item_periodic(&i) ? count_units(a, l, &i) : STATUS_OK;
}
