/* gateway/api_models.c -- GET /v1/models and /v1/models/{model}: what can be called,
 * at which level, for how much. */
#include "base/cleanup.h"
#include "gateway/error_body.h"
#include "gateway/price_json.h"
#include "gateway/request.h"
#include "gateway/retail.h"
#include <inttypes.h>

static bool text_member(struct buf *b, const char *key, const char *value)
{
    if (!value || !*value)
        return buf_printf(b, ",\"%s\":null", key);
    return buf_printf(b, ",\"%s\":", key) && json_quote(b, value, strlen(value));
}

static bool put_capabilities(struct buf *b, unsigned bits)
{
    bool ok = buf_text(b, ",\"capabilities\":["), first = true;
    const char *name;
    for (unsigned i = 0; ok && (name = capability_name(i)); i++) {
        if (!(bits >> i & 1))
            continue;
        ok = buf_printf(b, "%s\"%s\"", first ? "" : ",", name);
        first = false;
    }
    return ok && buf_text(b, "]");
}

static bool put_items(struct buf *b, const struct price_items *items)
{
    bool ok = true;
    for (unsigned i = 0; ok && i < items->count; i++) {
        AUTO(json_decref_ptr) json_t *price = price_json(&items->at[i]);
        AUTO(free_ptr) char *text = price ? json_dumps(price, JSON_COMPACT) : NULL;
        ok = text && buf_text(b, i ? "," : "") && buf_text(b, text);
    }
    return ok;
}

static bool put_amount(struct buf *b, struct price p)
{
    char amount[MONEY_TEXT_BYTES];
    return buf_printf(b, "\"amount\":\"%s\",\"per\":%" PRId64,
                      money_text((money_t){ p.atoms }, 2, amount), p.per_units);
}

/* For every request; what others pay may stand beside it. */
static bool put_plain(struct buf *b, const struct price_item *i)
{
    return buf_printf(b, ",\"%s\":{", meter_name(i->meter)) && put_amount(b, i->price) &&
           buf_printf(b, ",\"unit\":\"%s\"", meter_unit(i->meter)) &&
           (!i->list.per_units ||
            (buf_text(b, ",\"list\":{") && put_amount(b, i->list) && buf_text(b, "}"))) &&
           buf_text(b, "}");
}

static bool is_plain(const struct price_item *i)
{
    struct price_item bare = *i;
    bare.list = (struct price){ 0, 0 };
    return price_item_plain(&bare);
}

/* An amount for so many units; or, of a meter with more than that, the prices it has. */
static bool put_meter(struct buf *b, const struct catalog_model *m, enum meter meter)
{
    struct price_item plain;
    struct price_items items = model_prices(m, meter, &plain);
    if (items.count == 1 && is_plain(items.at))
        return put_plain(b, items.at);
    return items.count == 0 || (buf_printf(b, ",\"%s\":{\"unit\":\"%s\",\"prices\":[",
                                           meter_name(meter), meter_unit(meter)) &&
                                put_items(b, &items) && buf_text(b, "]}"));
}

static bool put_prices(struct buf *b, const struct catalog_model *m, const char *currency)
{
    bool ok = buf_printf(b, ",\"pricing\":{\"currency\":\"%s\"", currency);
    for (unsigned i = 0; ok && i < METER_COUNT; i++)
        ok = put_meter(b, m, (enum meter)i);
    return ok && buf_text(b, "}");
}

static bool put_model(struct buf *b, const struct catalog_model *m, const char *currency)
{
    return buf_text(b, "{\"id\":") && json_quote(b, m->id, strlen(m->id)) &&
           buf_printf(b, ",\"object\":\"model\",\"created\":%" PRIu64, m->created) &&
           text_member(b, "owned_by", m->owned_by && *m->owned_by ? m->owned_by : "maasgate") &&
           text_member(b, "name", m->short_name) && text_member(b, "level", level_name(m->level)) &&
           text_member(b, "domain", m->domain) && text_member(b, "industry", m->industry) &&
           text_member(b, "parent", m->parent ? m->parent->id : NULL) &&
           text_member(b, "description", m->description) &&
           text_member(b, "status", life_name(m->life)) &&
           text_member(b, "status_note", m->life_note) && put_capabilities(b, m->capabilities) &&
           buf_printf(b, ",\"context_length\":%" PRIu64 ",\"max_output_tokens\":%" PRIu64,
                      m->context_length, m->max_output_tokens) &&
           put_prices(b, m, currency) && buf_text(b, "}");
}

enum verdict answer_models(struct request *r)
{
    const struct catalog *c = retail_catalog(r);
    struct buf *b = &r->answer.body;
    bool ok = buf_text(b, "{\"object\":\"list\",\"data\":["), first = true;
    for (size_t i = 0; ok && i < c->model_count; i++) {
        if (!catalog_in_scope(&r->target.scope, &c->models[i]))
            continue;
        ok = (first || buf_text(b, ",")) && put_model(b, &c->models[i], c->currency);
        first = false;
    }
    ok = ok && buf_text(b, "]}");
    return ok ? FAIL : request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
}

enum verdict answer_model(struct request *r)
{
    const struct catalog *c = retail_catalog(r);
    const struct catalog_model *m = catalog_find(c, &r->target.scope, r->target.model);
    if (!m)
        return request_no_model(r, r->target.model);
    return put_model(&r->answer.body, m, c->currency)
               ? FAIL
               : request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
}
