/* gateway/retail.c -- see retail.h. */
#include "gateway/retail.h"
#include "gateway/pricing.h"
#include "gateway/request.h"

/* A reseller without a book for its customers asks what it pays. */
static const struct catalog *catalog_of(const struct request *r)
{
    const struct pricing *p = r->snapshot->generation->pricing;
    const struct book_owner reseller = { BOOK_RESALE, r->key->organization_id };
    const struct catalog *own = p->own ? pricing_own_at(p, r->accepted_us, reseller) : NULL;
    return own ? own : r->catalog;
}

const struct catalog *retail_catalog(const struct request *r)
{
    return r->retail ? r->retail->catalog : r->catalog;
}

const struct catalog_model *retail_model(const struct request *r, const struct catalog_model *m)
{
    return &r->retail->catalog->models[m->index];
}

uint32_t retail_priced(const struct request *r)
{
    return r->model->priced | (r->retail ? retail_model(r, r->model)->priced : 0);
}

enum status retail_begin(struct request *r)
{
    struct retail *t = arena_alloc(r->arena, sizeof *t);
    if (!t)
        return STATUS_NO_MEMORY;
    t->catalog = catalog_of(r);
    r->retail = t;
    return STATUS_OK;
}

enum status retail_hold(struct request *r)
{
    struct retail *t = r->retail;
    struct price_list prices = facts_prices(r, retail_model(r, r->model));
    t->held = (struct resale_hold){ .project = r->key->project_id,
                                    .price_version = t->catalog->price_version };
    return price_upper_bound(&prices, &r->bound, &t->held.hold);
}

const char *retail_facts(struct request *r, const struct catalog_model *m, int64_t context)
{
    struct retail *t = r->retail;
    if (!m->sheet)
        return NULL;
    t->chosen_by = r->facts->of;
    t->chosen_by.context = context;
    return price_facts_text(&t->chosen_by, m->sheet->dims, t->facts);
}

void retail_settle(struct request *r)
{
    const struct ledger_settle *own = &r->ledger.settle;
    struct ledger_settle *s = &r->retail->bill; /* stage_meter has filled in the lines */
    s->rid = r->rid;
    s->project = r->key->project_id;
    s->key = own->key;
    s->endpoint = own->endpoint;
    s->price_version = r->retail->catalog->price_version;
    s->hold = r->retail->held.hold;
    s->is_resale = true;
}
