/* conf/prices.c -- what each model costs, and the one text that says it for the ledger.
 *
 * Cached and cache-write input cost what uncached input costs and reasoning what visible
 * output costs, unless the file says otherwise: no token of a priced kind is ever free by
 * omission.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "conf/draft.h"
#include <stdlib.h>

enum { PRICE_TEXT_MAX = 64 << 20 };

/* Which models can report a meter at all; a price of any other would have no effect. */
static const unsigned reported_by[METER_COUNT] = {
    [METER_REQUESTS] = CAPS_ALL,           [METER_INPUT_UNCACHED] = CAPS_TOKENS_IN,
    [METER_INPUT_CACHED] = CAPS_TOKENS_IN, [METER_INPUT_CACHE_WRITE] = CAPS_TOKENS_IN,
    [METER_OUTPUT_TEXT] = CAPS_TOKENS_OUT, [METER_OUTPUT_REASONING] = CAPS_TEXT,
    [METER_IMAGES] = CAP_IMAGES,           [METER_CHARACTERS] = CAP_SPEECH,
    [METER_AUDIO_MS] = CAPS_AUDIO_IN,      [METER_COMPUTE_MS] = CAPS_ALL,
    [METER_TENSOR_ELEMENTS] = CAP_INFER,
};

static const struct {
    enum meter meter, like;
} price_defaults[] = {
    { METER_INPUT_CACHED, METER_INPUT_UNCACHED },
    { METER_INPUT_CACHE_WRITE, METER_INPUT_UNCACHED },
    { METER_OUTPUT_REASONING, METER_OUTPUT_TEXT },
};

#define BIT(meter) (1u << METER_##meter)
static const struct {
    enum capability capability;
    const char *name;
    unsigned meters; /* one of these is needed */
    const char *expected;
} needed[] = {
    { CAP_CHAT, "chat", BIT(INPUT_UNCACHED), "'input_uncached_tokens'" },
    { CAP_CHAT, "chat", BIT(OUTPUT_TEXT), "'output_text_tokens'" },
    { CAP_COMPLETIONS, "completions", BIT(INPUT_UNCACHED), "'input_uncached_tokens'" },
    { CAP_COMPLETIONS, "completions", BIT(OUTPUT_TEXT), "'output_text_tokens'" },
    { CAP_EMBEDDINGS, "embeddings", BIT(INPUT_UNCACHED), "'input_uncached_tokens'" },
    { CAP_IMAGES, "images", BIT(IMAGES) | BIT(REQUESTS), "'images' or 'requests'" },
    { CAP_INFER, "infer", BIT(REQUESTS) | BIT(COMPUTE_MS) | BIT(TENSOR_ELEMENTS),
      "'requests', 'compute_ms' or 'tensor_elements'" },
    { CAP_SPEECH, "speech", BIT(CHARACTERS) | BIT(INPUT_UNCACHED) | BIT(REQUESTS),
      "'characters', 'input_uncached_tokens' or 'requests'" },
    { CAP_TRANSCRIPTION, "transcription", BIT(AUDIO_MS) | BIT(INPUT_UNCACHED) | BIT(REQUESTS),
      "'audio_ms', 'input_uncached_tokens' or 'requests'" },
    { CAP_TRANSLATION, "translation", BIT(AUDIO_MS) | BIT(INPUT_UNCACHED) | BIT(REQUESTS),
      "'audio_ms', 'input_uncached_tokens' or 'requests'" },
    { CAP_RERANK, "rerank", BIT(INPUT_UNCACHED) | BIT(REQUESTS),
      "'input_uncached_tokens' or 'requests'" },
    { CAP_MODERATION, "moderation", BIT(INPUT_UNCACHED) | BIT(REQUESTS),
      "'input_uncached_tokens' or 'requests'" },
};

static enum status read_price(struct conf_reader *r, const struct yaml_node *n,
                              struct catalog_model *m)
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
    enum status status = conf_text(r, n, &text);
    if (status)
        return status;
    if (!money_parse_price(text, &m->price[meter]))
        return conf_fail(r, n, "'%.60s' is not a price; expected e.g. '0.40/1M'", text);
    m->priced[meter] = true;
    return STATUS_OK;
}

static void inherit_prices(struct catalog_model *m, const struct catalog_model *parent)
{
    for (unsigned i = 0; i < METER_COUNT; i++)
        if (parent->priced[i] && (reported_by[i] & m->capabilities)) {
            m->priced[i] = true;
            m->price[i] = parent->price[i];
        }
}

static void default_prices(struct catalog_model *m)
{
    for (size_t i = 0; i < sizeof price_defaults / sizeof *price_defaults; i++) {
        enum meter meter = price_defaults[i].meter, like = price_defaults[i].like;
        if (!m->priced[meter] && m->priced[like]) {
            m->priced[meter] = true;
            m->price[meter] = m->price[like];
        }
    }
}

static enum status check_needed(struct conf_reader *r, const struct model_draft *d)
{
    unsigned priced = 0;
    for (unsigned i = 0; i < METER_COUNT; i++)
        priced |= d->m.priced[i] ? 1u << i : 0;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if ((d->m.capabilities & needed[i].capability) && !(priced & needed[i].meters))
            return conf_fail(r, d->price ? d->price : d->node,
                             "%s needs a price for %s; for nothing, write 0", needed[i].name,
                             needed[i].expected);
    return STATUS_OK;
}

enum status draft_price(struct conf_reader *r, struct model_draft *d)
{
    enum status status = STATUS_OK;
    if (d->price) {
        status = conf_want(r, d->price, YAML_MAP);
        for (const struct yaml_node *n = d->price->first; !status && n; n = n->next)
            status = read_price(r, n, &d->m);
    } else if (d->parent)
        inherit_prices(&d->m, &d->parent->m);
    if (status)
        return status;
    default_prices(&d->m);
    return check_needed(r, d);
}

static int by_meter_name(const void *a, const void *b)
{
    const enum meter *x = a, *y = b;
    return strcmp(meter_name(*x), meter_name(*y));
}

static bool add_prices(struct buf *b, const struct catalog *c)
{
    enum meter sorted[METER_COUNT];
    for (unsigned i = 0; i < METER_COUNT; i++)
        sorted[i] = (enum meter)i;
    qsort(sorted, METER_COUNT, sizeof *sorted, by_meter_name);
    for (size_t i = 0; i < c->model_count; i++)
        for (unsigned j = 0; j < METER_COUNT; j++) {
            const struct catalog_model *m = &c->models[i];
            const struct price *p = &m->price[sorted[j]];
            if (m->priced[sorted[j]] &&
                !buf_printf(b, "%s %s %lld/%lld\n", m->id, meter_name(sorted[j]),
                            (long long)p->atoms, (long long)p->per_units))
                return false;
        }
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
