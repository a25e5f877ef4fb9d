/* conf/prices.c -- what each model costs, and the one text that says it for the ledger.
 *
 * Input tokens of every kind cost what uncached text costs and output tokens what visible
 * text costs, unless the file says otherwise: no token of a priced kind is ever free by
 * omission.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "conf/price_draft.h"
#include <stdlib.h>

enum { PRICE_TEXT_MAX = 64 << 20 };

/* Which models can report a meter at all; a price of any other would have no effect. */
static const unsigned reported_by[METER_COUNT] = {
    [METER_REQUESTS] = CAPS_ALL,
    [METER_INPUT_UNCACHED] = CAPS_TOKENS_IN,
    [METER_INPUT_CACHED] = CAPS_TOKENS_IN,
    [METER_INPUT_CACHE_WRITE] = CAPS_TOKENS_IN,
    [METER_OUTPUT_TEXT] = CAPS_TOKENS_OUT,
    [METER_OUTPUT_REASONING] = CAPS_TEXT,
    [METER_IMAGES] = CAP_IMAGES,
    [METER_CHARACTERS] = CAP_SPEECH,
    [METER_AUDIO_MS] = CAPS_AUDIO_IN,
    [METER_COMPUTE_MS] = CAPS_ALL,
    [METER_TENSOR_ELEMENTS] = CAP_INFER,
    [METER_INPUT_AUDIO] = CAP_CHAT | CAPS_AUDIO_IN,
    [METER_OUTPUT_AUDIO] = CAP_CHAT | CAP_SPEECH,
    [METER_INPUT_IMAGE] = CAP_CHAT | CAP_EMBEDDINGS | CAP_IMAGES | CAP_MODERATION,
    [METER_OUTPUT_IMAGE] = CAP_CHAT | CAP_IMAGES,
    [METER_INPUT_CACHE_WRITE_1H] = CAPS_TEXT,
    [METER_INPUT_VIDEO] = CAP_CHAT,
    [METER_VIDEO_MS] = CAP_CHAT, /* a film that is looked at */
};

static const struct {
    enum meter meter, like;
} price_defaults[] = {
    { METER_INPUT_CACHED, METER_INPUT_UNCACHED },
    { METER_INPUT_CACHE_WRITE, METER_INPUT_UNCACHED },
    { METER_INPUT_CACHE_WRITE_1H, METER_INPUT_CACHE_WRITE },
    { METER_INPUT_AUDIO, METER_INPUT_UNCACHED },
    { METER_INPUT_IMAGE, METER_INPUT_UNCACHED },
    { METER_INPUT_VIDEO, METER_INPUT_UNCACHED },
    { METER_OUTPUT_REASONING, METER_OUTPUT_TEXT },
    { METER_OUTPUT_AUDIO, METER_OUTPUT_TEXT },
    { METER_OUTPUT_IMAGE, METER_OUTPUT_TEXT },
};

static const struct {
    enum capability capability;
    uint32_t meters; /* one of these is needed */
    const char *expected;
} needed[] = {
    { CAP_CHAT, METER_BIT(INPUT_UNCACHED), "'input_uncached_tokens'" },
    { CAP_CHAT, METER_BIT(OUTPUT_TEXT), "'output_text_tokens'" },
    { CAP_COMPLETIONS, METER_BIT(INPUT_UNCACHED), "'input_uncached_tokens'" },
    { CAP_COMPLETIONS, METER_BIT(OUTPUT_TEXT), "'output_text_tokens'" },
    { CAP_EMBEDDINGS, METER_BIT(INPUT_UNCACHED), "'input_uncached_tokens'" },
    { CAP_IMAGES, METER_BIT(IMAGES) | METER_BIT(REQUESTS), "'images' or 'requests'" },
    { CAP_INFER, METER_BIT(REQUESTS) | METER_BIT(COMPUTE_MS) | METER_BIT(TENSOR_ELEMENTS),
      "'requests', 'compute_ms' or 'tensor_elements'" },
    { CAP_SPEECH, METER_BIT(CHARACTERS) | METER_BIT(INPUT_UNCACHED) | METER_BIT(REQUESTS),
      "'characters', 'input_uncached_tokens' or 'requests'" },
    { CAP_TRANSCRIPTION, METER_BIT(AUDIO_MS) | METER_BIT(INPUT_UNCACHED) | METER_BIT(REQUESTS),
      "'audio_ms', 'input_uncached_tokens' or 'requests'" },
    { CAP_TRANSLATION, METER_BIT(AUDIO_MS) | METER_BIT(INPUT_UNCACHED) | METER_BIT(REQUESTS),
      "'audio_ms', 'input_uncached_tokens' or 'requests'" },
    { CAP_RERANK, METER_BIT(INPUT_UNCACHED) | METER_BIT(REQUESTS),
      "'input_uncached_tokens' or 'requests'" },
    { CAP_MODERATION, METER_BIT(INPUT_UNCACHED) | METER_BIT(REQUESTS),
      "'input_uncached_tokens' or 'requests'" },
};

static enum status read_price(struct conf_reader *r, const struct yaml_node *n,
                              struct catalog_model *m, struct price_drafts *p)
{
    const char *names[METER_COUNT], *text;
    enum meter meter = meter_find(n->key);
    if (meter == METER_COUNT) {
        for (unsigned i = 0; i < METER_COUNT; i++)
            names[i] = meter_name((enum meter)i);
        return conf_fail_unknown(r, n, "meter", names, METER_COUNT);
    }
    if (!(reported_by[meter] & m->capabilities))
        return conf_fail_key(r, n, "a price of '%s' has no effect: the model cannot report it",
                             n->key);
    m->priced |= UINT32_C(1) << meter;
    if (n->kind != YAML_TEXT)
        return price_items_read(r, n, meter, m, p);
    enum status status = conf_text(r, n, &text);
    if (status)
        return status;
    if (!money_parse_price(text, &m->price[meter]))
        return conf_fail(r, n, "'%.60s' is not a price; expected e.g. '0.40/1M'", text);
    return STATUS_OK;
}

static enum status inherit_prices(struct conf_reader *r, struct catalog_model *m,
                                  const struct catalog_model *parent)
{
    for (unsigned i = 0; i < METER_COUNT; i++)
        if (model_priced(parent, i) && (reported_by[i] & m->capabilities)) {
            m->priced |= UINT32_C(1) << i;
            m->price[i] = parent->price[i];
        }
    m->derived = parent->derived & m->priced;
    return parent->sheet ? price_sheet_inherit(r, parent->sheet, m) : STATUS_OK;
}

/* Only what is charged by the unit can be copied: a flat amount would be charged twice, and a
 * tier would be counted twice. */
static enum status derive_items(struct conf_reader *r, enum meter meter, enum meter like,
                                struct price_drafts *p)
{
    for (const struct price_draft *d = p->first[like]; d; d = d->next)
        if (d->item.kind != PRICE_UNIT)
            return conf_fail(r, d->node,
                             "'%s' is not told what to cost: a price like this of '%s' is not "
                             "copied to it; give it its own",
                             meter_name(meter), meter_name(like));
    p->first[meter] = p->first[like];
    p->count[meter] = p->count[like];
    return STATUS_OK;
}

static bool may_derive(const struct catalog_model *m, size_t at)
{
    enum meter meter = price_defaults[at].meter;
    return (reported_by[meter] & m->capabilities) && !model_priced(m, meter) &&
           model_priced(m, price_defaults[at].like);
}

static enum status derive(struct conf_reader *r, struct catalog_model *m, size_t at,
                          struct price_drafts *p)
{
    enum meter meter = price_defaults[at].meter, like = price_defaults[at].like;
    m->priced |= UINT32_C(1) << meter;
    m->derived |= UINT32_C(1) << meter;
    m->price[meter] = m->price[like];
    return derive_items(r, meter, like, p);
}

static enum status default_prices(struct conf_reader *r, struct catalog_model *m,
                                  struct price_drafts *p)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < sizeof price_defaults / sizeof *price_defaults; i++)
        if (may_derive(m, i))
            status = derive(r, m, i, p);
    return status;
}

/* For ways to ask that there are not: such a price would have no effect. */
static enum status refuse_unserved(struct conf_reader *r, const struct price_drafts *p)
{
    for (unsigned i = 0; i < METER_COUNT; i++)
        for (const struct price_draft *d = p->first[i]; d; d = d->next) {
            struct span tier = d->item.dim[PRICE_DIM_TIER];
            if (span_is(tier, "batch") || span_is(tier, "provisioned"))
                return conf_fail(r, d->node,
                                 "has no effect: requests of service_tier %s are not served yet",
                                 tier.at);
        }
    return STATUS_OK;
}

/* A list of one plain price is that price. */
static bool is_plain(const struct price_drafts *p, unsigned meter, struct catalog_model *m)
{
    const struct price_draft *d = p->first[meter];
    if (!d)
        return true;
    m->price[meter] = d->item.price;
    return p->count[meter] == 1 && price_item_plain(&d->item);
}

static enum status close_prices(struct conf_reader *r, const struct yaml_node *n,
                                const struct price_drafts *p, struct catalog_model *m)
{
    enum status status = refuse_unserved(r, p);
    bool plain = true;
    for (unsigned i = 0; i < METER_COUNT && !status; i++)
        plain = is_plain(p, i, m) && plain;
    return status || plain ? status : price_sheet_make(r, n, p, m);
}

static enum status own_prices(struct conf_reader *r, struct model_draft *d)
{
    struct price_drafts p = { .first = { NULL } };
    enum status status = conf_want(r, d->price, YAML_MAP);
    for (const struct yaml_node *n = d->price->first; !status && n; n = n->next)
        status = read_price(r, n, &d->m, &p);
    if (!status)
        status = default_prices(r, &d->m, &p);
    return status ? status : close_prices(r, d->price, &p, &d->m);
}

enum status prices_read(struct conf_reader *r, const struct yaml_node *n, struct catalog_model *m)
{
    struct model_draft d = { .m = *m, .price = n };
    enum status status = own_prices(r, &d);
    *m = d.m;
    return status;
}

/* ---- the book of an organization ----------------------------------------------------------- */

static bool same_price(struct price a, struct price b)
{
    return a.atoms == b.atoms && a.per_units == b.per_units;
}

/* Of two meters. */
static bool same_item(const struct price_item *a, const struct price_item *b)
{
    struct price_item other = *b;
    other.meter = a->meter;
    bool same = price_series(a) == price_series(&other) && same_price(a->price, b->price) &&
                same_price(a->list, b->list) && a->included == b->included &&
                a->tier_count == b->tier_count;
    for (unsigned t = 0; same && t < a->tier_count; t++)
        same = a->tiers[t].up_to == b->tiers[t].up_to &&
               same_price(a->tiers[t].price, b->tiers[t].price);
    return same;
}

static bool same_items(const struct catalog_model *m, enum meter a, enum meter b)
{
    struct price_item plain[2];
    struct price_items x = model_prices(m, a, &plain[0]), y = model_prices(m, b, &plain[1]);
    bool same = x.count == y.count;
    for (unsigned i = 0; same && i < x.count; i++)
        same = same_item(&x.at[i], &y.at[i]);
    return same;
}

/* What costs in the list just what its like does, does so here, too. */
static enum status follow_list(struct conf_reader *r, const struct catalog_model *list,
                               struct catalog_model *m, struct price_drafts *p)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; !status && i < sizeof price_defaults / sizeof *price_defaults; i++)
        if (may_derive(m, i) && model_priced(list, price_defaults[i].meter) &&
            same_items(list, price_defaults[i].meter, price_defaults[i].like))
            status = derive(r, m, i, p);
    return status;
}

/* The list is known: what it says stands beside the price by itself. */
static enum status refuse_list(struct conf_reader *r, const struct price_drafts *p)
{
    for (unsigned i = 0; i < METER_COUNT; i++)
        for (const struct price_draft *d = p->first[i]; d; d = d->next)
            if (d->item.list.per_units)
                return conf_fail_key(r, yaml_get(d->node, "list"),
                                     "'list' has no effect in the book of an organization: the "
                                     "price of the list stands beside its own by itself");
    return STATUS_OK;
}

static enum status refuse_unlisted(struct conf_reader *r, const struct yaml_node *n,
                                   const struct catalog_model *list)
{
    for (const struct yaml_node *one = n->first; one; one = one->next) {
        enum meter meter = meter_find(one->key);
        if (meter < METER_COUNT && !model_priced(list, meter))
            return conf_fail_key(r, one, "the list has no price of '%s' for this model", one->key);
    }
    return STATUS_OK;
}

enum status own_prices_read(struct conf_reader *r, const struct yaml_node *n,
                            const struct catalog_model *list, struct catalog_model *m)
{
    struct price_drafts p = { .first = { NULL } };
    enum status status = conf_want(r, n, YAML_MAP);
    if (!status)
        status = refuse_unlisted(r, n, list);
    for (const struct yaml_node *one = n->first; !status && one; one = one->next)
        status = read_price(r, one, m, &p);
    if (!status)
        status = refuse_list(r, &p);
    if (!status)
        status = follow_list(r, list, m, &p);
    return status ? status : close_prices(r, n, &p, m);
}

/* ---- a whole book -------------------------------------------------------------------------- */

static enum status check_needed(struct conf_reader *r, const struct model_draft *d)
{
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if ((d->m.capabilities & needed[i].capability) && !(d->m.priced & needed[i].meters))
            return conf_fail(
                r, d->price ? d->price : d->node, "%s needs a price for %s; for nothing, write 0",
                capability_name((unsigned)__builtin_ctz(needed[i].capability)), needed[i].expected);
    return STATUS_OK;
}

/* The length of a film is not in the request, so what is held for it must be said. */
static enum status check_video(struct conf_reader *r, const struct model_draft *d)
{
    const struct yaml_node *most = yaml_get(d->node, "video_ms_max");
    bool sold = model_priced(&d->m, METER_VIDEO_MS);
    if (sold && !d->m.video_ms_max)
        return conf_fail(r, d->price ? d->price : d->node,
                         "a price of 'video_ms' needs 'video_ms_max', the most that is held for");
    if (most && !sold)
        return conf_fail_key(r, most, "'video_ms_max' has no effect: 'video_ms' has no price");
    return STATUS_OK;
}

enum status draft_price(struct conf_reader *r, struct model_draft *d)
{
    struct price_drafts none = { .first = { NULL } };
    enum status status = STATUS_OK;
    if (r->unpriced)
        return d->price ? conf_fail_key(r, d->price,
                                        "'price' has no effect: price_source is published, and "
                                        "maasgate price publish takes a book of prices")
                        : STATUS_OK;
    if (d->price)
        status = own_prices(r, d);
    else if (d->parent) {
        status = inherit_prices(r, &d->m, &d->parent->m);
        if (!status && !d->m.sheet)
            status = default_prices(r, &d->m, &none);
    }
    if (!status)
        status = check_needed(r, d);
    return status ? status : check_video(r, d);
}

static int by_meter_name(const void *a, const void *b)
{
    const enum meter *x = a, *y = b;
    return strcmp(meter_name(*x), meter_name(*y));
}

static bool add_meter(struct buf *b, const struct catalog_model *m, enum meter meter)
{
    struct price_item plain;
    struct price_items items = model_prices(m, meter, &plain);
    for (unsigned i = 0; i < items.count; i++)
        if (!buf_printf(b, "%s %s ", m->id, meter_name(meter)) ||
            !price_item_write(b, &items.at[i]) || !buf_text(b, "\n"))
            return false;
    return true;
}

bool prices_write(struct buf *b, const struct catalog_model *m)
{
    enum meter sorted[METER_COUNT];
    for (unsigned i = 0; i < METER_COUNT; i++)
        sorted[i] = (enum meter)i;
    qsort(sorted, METER_COUNT, sizeof *sorted, by_meter_name);
    for (unsigned j = 0; j < METER_COUNT; j++)
        if (!add_meter(b, m, sorted[j]))
            return false;
    return true;
}

static bool add_prices(struct buf *b, const struct catalog *c)
{
    for (size_t i = 0; i < c->model_count; i++)
        if (!prices_write(b, &c->models[i]))
            return false;
    return true;
}

enum status prices_seal(struct conf_reader *r, struct catalog *c)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, PRICE_TEXT_MAX);
    if (!buf_printf(&b, "currency %s book %s\n", c->currency, c->price_book) || !add_prices(&b, c))
        return conf_no_memory(r);
    c->price_text = conf_keep(r, &b);
    if (!c->price_text)
        return conf_no_memory(r);
    digest_sha256(b.at, b.len, c->price_sha256);
    return STATUS_OK;
}
