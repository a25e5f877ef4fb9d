/* billing/books_roll.c -- see books_roll.h. */
#include "billing/books_roll.h"
#include "billing/period.h"
#include <assert.h>
#include <string.h>

/* The words that chose the prices are stored as they are: the tier is what they say. */
static enum rollup_tier tier_of(const char *facts)
{
    if (!facts)
        return TIER_STANDARD;
    return strstr(facts, "\"service_tier\":\"flex\"")       ? TIER_FLEX
           : strstr(facts, "\"service_tier\":\"priority\"") ? TIER_PRIORITY
                                                            : TIER_STANDARD;
}

static int64_t how_called(const struct ledger_settle *t)
{
    uint64_t input = 0; /* of at most BILL_LINES_MAX lines within a bound: no overflow */
    for (unsigned i = 0; i < t->line_count; i++)
        if (METERS_TOKENS_IN >> t->lines[i].meter & 1)
            input += t->lines[i].qty;
    return rollup_how(t->endpoint, t->line_count ? tier_of(t->facts) : TIER_STANDARD,
                      input > ROLLUP_LONG_CONTEXT);
}

static enum status roll_up(struct books *b, const struct ledger_settle *t, int64_t period,
                           int64_t how, unsigned line, int64_t covered)
{
    static const struct bill_line nothing = { .meter = METER_REQUESTS };
    const struct bill_line *l = t->line_count ? &t->lines[line] : &nothing;
    const struct rollup_key key = { t->project,       t->key,  t->model, l->meter,
                                    t->price_version, l->item, period,   how };
    struct rollup_row *row = rollup_row(&b->rollup, &key);
    if (!row) {
        enum status s = rollup_write(&b->rollup, b->db, period_hour(b->batch_us));
        if (s)
            return s;
        row = rollup_row(&b->rollup, &key);
        assert(row);
    }
    row->qty += (int64_t)l->qty;
    row->atoms += l->amount.atoms;
    row->covered += covered;
    row->requests += line == 0;
    return STATUS_OK;
}

/* What funds paid covers the lines in their order. */
enum status books_roll_up(struct books *b, const struct ledger_settle *t, int64_t period)
{
    int64_t covered = t->amount.atoms - t->paid.credit, how = how_called(t);
    enum status s = STATUS_OK;
    for (unsigned i = 0; !s && (i == 0 || i < t->line_count); i++) {
        int64_t atoms = t->line_count ? t->lines[i].amount.atoms : 0;
        int64_t part = covered < atoms ? covered : atoms;
        s = roll_up(b, t, period, how, i, part);
        covered -= part;
    }
    return s;
}
