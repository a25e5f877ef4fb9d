/* conf/price_read.c -- prices that are more than an amount a unit: kinds, bands, dimensions. */
#include "conf/price_draft.h"
#include "conf/price_lint.h"
#include <stdlib.h>

static READER(read_price_text);
static READER(read_flat);
static READER(read_whole);
static READER(read_tiers);
static READER(read_word);
static READER(read_time);

struct item_fields {                  /* as the file says it */
    struct price unit, package, list; /* per_units 0: not given */
    money_t flat;
    unsigned per;                               /* 1: period */
    int64_t included, context_min, context_max; /* -1: not given */
    const struct price_tier *graduated, *volume;
    struct span dim[PRICE_DIMS];
    struct time_band time;
};

#define AT(field) offsetof(struct item_fields, field)
#define PRICE     "a price such as 0.40/1M"
#define WHOLE     "a whole number, written out"
#define WORD      "a word of [a-z0-9x._-], at most 32"

/* clang-format off */
const struct conf_key price_item_keys[] = {
    { "unit", read_price_text, AT(unit), PRICE, 0, 0, false,
      "the same for each unit" },
    { "graduated", read_tiers, AT(graduated), "a list of tiers", 2, PRICE_TIERS_MAX, false,
      "each unit of a period costs what the tier says into which it falls" },
    { "volume", read_tiers, AT(volume), "a list of tiers", 2, PRICE_TIERS_MAX, false,
      "all units of a period cost what the tier says in which their number ends" },
    { "package", read_price_text, AT(package), "a price such as 2.00/1M", 0, 0, false,
      "the amount for each begun package of so many units in a period" },
    { "flat", read_flat, AT(flat), "an amount", 0, 0, false,
      "the same however many units are used; needs `per`" },
    { "per", read_choice, AT(per), "request|period", 0, 0, false,
      "of `flat`: for each request, or once for each period, in which the meter is used" },
    { "included", read_whole, AT(included), WHOLE, 1, INT64_MAX, false,
      "so many units of a period are free; what is used beyond them the meter's other prices say" },
    { "list", read_price_text, AT(list), PRICE, 0, 0, false,
      "what a unit costs at list, to be shown beside this price" },
    { "context_min", read_whole, AT(context_min), WHOLE, 0, INT64_MAX - 1, false,
      "holds for requests of at least so many input tokens; 0 when not given" },
    { "context_max", read_whole, AT(context_max), WHOLE, 0, INT64_MAX - 1, false,
      "and of at most so many; without limit when not given" },
    { "size", read_word, AT(dim[PRICE_DIM_SIZE]), WORD, 1, PRICE_WORD_BYTES_MAX, false,
      "holds for this `size` of an image; all sizes without a price of their own when not given" },
    { "quality", read_word, AT(dim[PRICE_DIM_QUALITY]), WORD, 1, PRICE_WORD_BYTES_MAX, false,
      "holds for this `quality` of an image; likewise" },
    { "service_tier", read_word, AT(dim[PRICE_DIM_TIER]), "standard|flex|priority|batch|provisioned",
      1, PRICE_WORD_BYTES_MAX, false,
      "holds for this `service_tier`; a request that names none is of `standard`" },
    { "time", read_time, AT(time), "hours such as UTC Mon-Fri 01:00-04:00", 0, 0, false,
      "holds for requests accepted in these hours; several with a comma, and then in quotes" },
    { .key = NULL }
};

const struct conf_key price_tier_keys[] = {
    { "up_to", read_whole, offsetof(struct price_tier, up_to), WHOLE, 1, INT64_MAX - 1, false,
      "units of a period, the last one included; the last tier has none" },
    { "unit", read_price_text, offsetof(struct price_tier, price), PRICE, 0, 0, true,
      "what each unit costs" },
    { .key = NULL }
};
/* clang-format on */

/* ---- single values ------------------------------------------------------------------------- */

static READER(read_price_text)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (!status && !money_parse_price(text, field))
        return conf_fail(r, value, "'%.60s' is not %s", text, k->expects);
    return status;
}

static READER(read_flat)
{
    const char *text;
    (void)k;
    enum status status = conf_text(r, value, &text);
    if (!status && !money_parse(text, field))
        return conf_fail(r, value, "'%.60s' is not an amount such as 0.01", text);
    return status;
}

/* 32K is 32,000 to some and 32,768 to others, and a price must not depend on who reads it. */
static READER(read_whole)
{
    const char *text;
    uint64_t n;
    enum status status = conf_text(r, value, &text);
    if (status)
        return status;
    size_t digits = strspn(text, "0123456789");
    if (digits && text[digits] && strchr("kKmMgG", text[digits]) && !text[digits + 1])
        return conf_fail(r, value,
                         "'%.60s' may mean a power of ten or of two: write the number out", text);
    if (!value_number(CONF_COUNT, text, &n) || n < k->min || n > k->max)
        return conf_fail(r, value, "'%.60s' is not %s, of at least %llu", text, k->expects,
                         (unsigned long long)k->min);
    *(int64_t *)field = (int64_t)n;
    return STATUS_OK;
}

static READER(read_word)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (status)
        return status;
    bool choice = strchr(k->expects, '|') != NULL;
    size_t len = strlen(text);
    if (choice ? value_choice(text, k->expects) < 0
               : len < k->min || len > k->max ||
                     strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") != len)
        return conf_fail(r, value, "'%.60s' is not %s%s", text, choice ? "one of " : "",
                         k->expects);
    char *kept = arena_strdup(r->keep, text);
    if (!kept)
        return conf_no_memory(r);
    *(struct span *)field = (struct span){ kept, len };
    return STATUS_OK;
}

static READER(read_time)
{
    const char *text;
    (void)k;
    enum status status = conf_text(r, value, &text);
    if (status)
        return status;
    const char *wrong = time_band_read((struct span){ text, strlen(text) }, ' ', field);
    return wrong ? conf_fail(r, value, "'%.60s': %s", text, wrong) : STATUS_OK;
}

static READER(read_tiers)
{
    enum status status = conf_want(r, value, YAML_LIST);
    if (status)
        return status;
    if (value->count < k->min || value->count > k->max)
        return conf_fail(r, value, "has %zu tiers; expected %llu to %llu", value->count,
                         (unsigned long long)k->min, (unsigned long long)k->max);
    struct price_tier *tiers = arena_alloc(r->keep, value->count * sizeof *tiers);
    if (!tiers)
        return conf_no_memory(r);
    for (const struct yaml_node *n = value->first; !status && n; n = n->next) {
        tiers[n->at].up_to = PRICE_NO_END;
        status = conf_walk(r, n, price_tier_keys, &tiers[n->at]);
    }
    *(const struct price_tier **)field = tiers;
    return status;
}

/* ---- an item ------------------------------------------------------------------------------- */

static unsigned count_of(const struct yaml_node *n, const char *key)
{
    const struct yaml_node *list = yaml_get(n, key);
    return list ? (unsigned)list->count : 0;
}

/* Its kind is the one key of six that it has. */
static enum status read_kind(struct conf_reader *r, const struct yaml_node *n, struct price_item *i)
{
    unsigned kinds = 0;
    for (unsigned k = 0; k < PRICE_KINDS; k++)
        if (yaml_get(n, price_kind_name((enum price_kind)k))) {
            i->kind = (enum price_kind)k;
            kinds++;
        }
    if (kinds != 1)
        return conf_fail(r, n,
                         "names %u kinds of price; expected one of unit, graduated, volume, "
                         "package, flat, included",
                         kinds);
    const struct yaml_node *per = yaml_get(n, "per");
    if (i->kind == PRICE_FLAT && !per)
        return conf_fail(r, n, "'flat' needs 'per'; expected request or period");
    if (i->kind != PRICE_FLAT && per)
        return conf_fail_key(r, per, "'per' has no effect: the price is not 'flat'");
    return STATUS_OK;
}

static void set_amount(const struct item_fields *f, const struct yaml_node *n, struct price_item *i)
{
    i->per_period = i->kind == PRICE_FLAT && f->per == 1;
    i->list = f->list;
    i->price = i->kind == PRICE_PACKAGE ? f->package
               : i->kind == PRICE_FLAT  ? (struct price){ f->flat.atoms, 1 }
               : i->kind == PRICE_UNIT  ? f->unit
                                        : (struct price){ 0, 1 };
    if (i->kind == PRICE_INCLUDED)
        i->included = f->included;
    if (i->kind == PRICE_GRADUATED || i->kind == PRICE_VOLUME) {
        i->tiers = i->kind == PRICE_VOLUME ? f->volume : f->graduated;
        i->tier_count = count_of(n, price_kind_name(i->kind));
    }
}

/* Conditions that can never be met, or never fail, are mistakes. */
static enum status check_conditions(struct conf_reader *r, const struct yaml_node *n,
                                    const struct catalog_model *m, const struct price_item *i)
{
    static const struct {
        enum price_dim dim;
        unsigned capabilities;
        const char *why;
    } needs[] = {
        { PRICE_DIM_SIZE, CAP_IMAGES, "the model has no images" },
        { PRICE_DIM_QUALITY, CAP_IMAGES, "the model has no images" },
        { PRICE_DIM_TIER, CAPS_TEXT | CAP_EMBEDDINGS, "only text has service tiers" },
    };
    for (size_t d = 0; d < sizeof needs / sizeof *needs; d++)
        if (i->dim[needs[d].dim].len && !(m->capabilities & needs[d].capabilities))
            return conf_fail_key(r, yaml_get(n, price_dim_name(needs[d].dim)),
                                 "'%s' has no effect: %s", price_dim_name(needs[d].dim),
                                 needs[d].why);
    if (i->kind == PRICE_INCLUDED && n->count > 1)
        return conf_fail(r, n, "'included' stands alone: it is for every request of the meter");
    if (i->context_min > i->context_max)
        return conf_fail(r, n, "context_min is above context_max");
    if (m->context_length && i->context_min > (int64_t)m->context_length)
        return conf_fail(r, yaml_get(n, "context_min"),
                         "has no effect: the model's context_length is %llu",
                         (unsigned long long)m->context_length);
    return STATUS_OK;
}

static enum status read_item(struct conf_reader *r, const struct yaml_node *n, enum meter meter,
                             const struct catalog_model *m, struct price_item *ret)
{
    struct item_fields f = { .included = -1, .context_min = 0, .context_max = PRICE_NO_END };
    *ret = (struct price_item){ .meter = meter };
    enum status status = conf_want(r, n, YAML_MAP);
    if (!status)
        status = conf_walk(r, n, price_item_keys, &f);
    if (!status)
        status = read_kind(r, n, ret);
    if (status)
        return status;
    set_amount(&f, n, ret);
    ret->context_min = f.context_min;
    ret->context_max = f.context_max;
    memcpy(ret->dim, f.dim, sizeof ret->dim);
    ret->time = f.time;
    return check_conditions(r, n, m, ret);
}

/* ---- the items of a meter ------------------------------------------------------------------ */

/* Puts it at its place in the order of a book. */
static void insert(struct price_draft **first, struct price_draft *d)
{
    while (*first && price_item_order(&(*first)->item, &d->item) <= 0)
        first = &(*first)->next;
    d->next = *first;
    *first = d;
}

static enum status add_item(struct conf_reader *r, const struct yaml_node *n, enum meter meter,
                            const struct catalog_model *m, struct price_drafts *ret)
{
    struct price_draft *d = arena_alloc(r->scratch, sizeof *d);
    if (!d)
        return conf_no_memory(r);
    d->node = n;
    enum status status = read_item(r, n, meter, m, &d->item);
    if (status)
        return status;
    insert(&ret->first[meter], d);
    ret->count[meter]++;
    return STATUS_OK;
}

static enum status check_items(struct conf_reader *r, enum meter meter,
                               const struct catalog_model *m, const struct price_drafts *p)
{
    const struct price_item *items[PRICE_ITEMS_MAX];
    const struct yaml_node *nodes[PRICE_ITEMS_MAX];
    unsigned count = 0;
    for (const struct price_draft *d = p->first[meter]; d; d = d->next, count++) {
        items[count] = &d->item;
        nodes[count] = d->node;
    }
    struct price_flaw flaw;
    int64_t end = m->context_length ? (int64_t)m->context_length : PRICE_NO_END - 1;
    if (price_items_check(items, count, end, &flaw))
        return STATUS_OK;
    return conf_fail(r, flaw.item == PRICE_FLAW_ALL ? p->node[meter] : nodes[flaw.item], "%s",
                     flaw.text);
}

enum status price_items_read(struct conf_reader *r, const struct yaml_node *n, enum meter meter,
                             const struct catalog_model *m, struct price_drafts *ret)
{
    enum status status = STATUS_OK;
    ret->node[meter] = n;
    if (n->kind == YAML_MAP)
        status = add_item(r, n, meter, m, ret);
    else if (n->count < 1 || n->count > PRICE_ITEMS_MAX)
        return conf_fail(r, n, "has %zu prices; expected 1 to %d", n->count, PRICE_ITEMS_MAX);
    else
        for (const struct yaml_node *one = n->first; !status && one; one = one->next)
            status = add_item(r, one, meter, m, ret);
    return status ? status : check_items(r, meter, m, ret);
}

/* ---- the sheet of a model ------------------------------------------------------------------ */

static enum status new_sheet(struct conf_reader *r, size_t count, struct price_sheet **ret,
                             struct price_item **ret_items)
{
    *ret = arena_alloc(r->keep, sizeof **ret);
    *ret_items = arena_alloc(r->keep, count * sizeof **ret_items);
    if (!*ret || !*ret_items)
        return conf_no_memory(r);
    (*ret)->items = *ret_items;
    return STATUS_OK;
}

enum status price_sheet_make(struct conf_reader *r, const struct yaml_node *n,
                             const struct price_drafts *p, struct catalog_model *m)
{
    struct price_sheet *sheet;
    struct price_item *items;
    unsigned count = 0, at = 0, lines = 0;
    for (unsigned i = 0; i < METER_COUNT; i++) {
        count += p->first[i] ? p->count[i] : model_priced(m, i);
        bool free_units = p->first[i] && p->first[i]->item.kind == PRICE_INCLUDED;
        lines += model_priced(m, i) + (unsigned)free_units;
    }
    if (lines > PRICE_LINES_MAX)
        return conf_fail(r, n, "a request could have %u lines on its bill; at most %d", lines,
                         PRICE_LINES_MAX);
    enum status status = new_sheet(r, count, &sheet, &items);
    if (status)
        return status;
    for (unsigned i = 0; i < METER_COUNT; i++) {
        if (model_priced(m, i) && !p->first[i])
            items[at++] = price_plain((enum meter)i, m->price[i]);
        for (const struct price_draft *d = p->first[i]; d; d = d->next) {
            items[at] = d->item;
            items[at++].meter = (enum meter)i; /* a derived meter has the drafts of its base */
        }
    }
    price_sheet_close(sheet, count);
    m->sheet = sheet;
    return STATUS_OK;
}

enum status price_sheet_inherit(struct conf_reader *r, const struct price_sheet *parent,
                                struct catalog_model *m)
{
    struct price_sheet *sheet;
    struct price_item *items;
    unsigned count = 0;
    enum status status = new_sheet(r, parent->first[METER_COUNT], &sheet, &items);
    if (status)
        return status;
    for (unsigned i = 0; i < parent->first[METER_COUNT]; i++)
        if (model_priced(m, parent->items[i].meter))
            items[count++] = parent->items[i];
    price_sheet_close(sheet, count);
    m->sheet = sheet;
    return STATUS_OK;
}
