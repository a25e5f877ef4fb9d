/* conf/print.c -- a configuration as the file that would give it again.
 *
 * Everything stands there as it is in effect: defaults are marked, inherited values are
 * written out, and only routes that are the parent's own are left out.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "conf/draft.h"
#include <assert.h>

enum { PRINT_BYTES_MAX = 512 << 20 };

static bool number(struct buf *b, const char *key, uint64_t value)
{
    return !value || buf_printf(b, "    %s: %llu\n", key, (unsigned long long)value);
}

static bool time_ms(struct buf *b, const char *key, uint64_t value)
{
    char text[VALUE_TEXT_BYTES];
    return !value || buf_printf(b, "    %s: %s\n", key, value_number_text(CONF_MSEC, value, text));
}

static bool quoted(struct buf *b, const char *key, const char *value)
{
    return !value[0] ||
           (buf_printf(b, "    %s: ", key) && value_quote(b, value) && buf_text(b, "\n"));
}

static bool secret(struct buf *b, const struct catalog_backend *p)
{
    return !p->secret || (buf_text(b, "    secret_file: ") && value_quote(b, p->secret_file) &&
                          buf_text(b, " # holds ********\n"));
}

static bool on_disconnect(struct buf *b, const struct catalog_backend *p)
{
    if (p->on_disconnect == DISCONNECT_CANCEL)
        return buf_text(b, "    on_disconnect: cancel\n");
    return buf_text(b, "    on_disconnect: drain\n") &&
           time_ms(b, "drain_timeout_ms", p->drain_timeout_ms) &&
           number(b, "drain_calls_max", p->drain_calls_max);
}

static bool headers(struct buf *b, const struct compose *c)
{
    if (c->header_count && !buf_text(b, "    headers:\n"))
        return false;
    for (size_t i = 0; i < c->header_count; i++)
        if (!buf_text(b, "      ") || !value_quote(b, c->headers[i].name) || !buf_text(b, ": ") ||
            !value_quote(b, c->headers[i].value) || !buf_text(b, "\n"))
            return false;
    return true;
}

static bool signer(struct buf *b, const struct compose *c)
{
    const char *name = compose_signer_name(c);
    return buf_printf(b, "    signer: %s\n", signer_name(c->signer)) &&
           quoted(b, "signer_name", name ? name : "");
}

static bool composed(struct buf *b, const struct catalog_backend *p)
{
    const struct compose *c = &p->http;
    if (p->transport != TRANSPORT_HTTP)
        return true;
    return buf_printf(b, "    dialect: %s\n", dialect_name(c->dialect)) &&
           (!p->secret || signer(b, c)) &&
           (!dialect_streams(c->dialect) ||
            buf_printf(b, "    framer: %s\n", framer_name(c->framer))) &&
           buf_printf(b, "    usage_map: %s\n    error_map: %s\n    rate_limit_map: %s\n",
                      usage_map_name(c->usage), error_map_name(c->errors),
                      rate_map_name(c->rates)) &&
           headers(b, c);
}

static bool prices_of(struct buf *b, const struct catalog_model *m, int indent);

static bool costs(struct buf *b, const struct catalog_backend *p)
{
    if (p->cost_count && !buf_text(b, "    costs:\n"))
        return false;
    for (size_t i = 0; i < p->cost_count; i++)
        if (!buf_text(b, "      ") || !value_quote(b, p->costs[i].short_name) ||
            !buf_text(b, ":\n") || !prices_of(b, &p->costs[i], 8))
            return false;
    return true;
}

static bool backend(struct buf *b, const struct catalog_backend *p)
{
    return buf_printf(b, "  \"%s\":\n    transport: %s\n", p->name, transport_name(p->transport)) &&
           quoted(b, "address", p->address) && secret(b, p) && quoted(b, "ca_file", p->ca_file) &&
           quoted(b, "client_cert_file", p->client_cert_file) &&
           quoted(b, "client_key_file", p->client_key_file) && composed(b, p) &&
           (p->http_version == HTTP_VERSION_AUTO || buf_text(b, "    http_version: 1.1\n")) &&
           number(b, "concurrency", p->concurrency) &&
           number(b, "requests_per_minute", p->requests_per_minute) &&
           number(b, "tokens_per_minute", p->tokens_per_minute) &&
           buf_printf(b, "    queue_max: %u\n", p->queue_max) &&
           (!p->queue_max || time_ms(b, "queue_timeout_ms", p->queue_timeout_ms)) &&
           time_ms(b, "first_byte_timeout_ms", p->first_byte_timeout_ms) &&
           time_ms(b, "chunk_timeout_ms", p->chunk_timeout_ms) &&
           time_ms(b, "connect_timeout_ms", p->connect_timeout_ms) && on_disconnect(b, p) &&
           buf_printf(b, "    repeat_unanswered: %s\n", p->repeat_unanswered ? "true" : "false") &&
           number(b, "eject_after", p->eject_after) && time_ms(b, "ejection_ms", p->ejection_ms) &&
           costs(b, p);
}

static bool capabilities(struct buf *b, unsigned bits)
{
    const char *name, *comma = "";
    if (!buf_text(b, "    capabilities: ["))
        return false;
    for (unsigned i = 0; (name = capability_name(i)); i++)
        if (bits & 1u << i) {
            if (!buf_printf(b, "%s%s", comma, name))
                return false;
            comma = ", ";
        }
    return buf_text(b, "]\n");
}

static bool created(struct buf *b, uint64_t seconds)
{
    char text[VALUE_TEXT_BYTES];
    return !seconds || buf_printf(b, "    created: %s\n", value_date_text(seconds, text));
}

static bool flag(struct buf *b, const char *key, bool set)
{
    return !set || buf_printf(b, "    %s: true\n", key);
}

/* JSON is YAML: the system text stands in its message between these two. */
static bool system_text(struct buf *b, struct span json)
{
    static const char before[] = "{\"role\":\"system\",\"content\":";
    size_t skip = sizeof before - 1;
    if (!json.len)
        return true;
    assert(json.len > skip + 1 && !memcmp(json.at, before, skip));
    return buf_text(b, "      system: ") && buf_add(b, json.at + skip, json.len - skip - 1) &&
           buf_text(b, "\n");
}

static bool recipe(struct buf *b, const struct catalog_recipe *p)
{
    if (!p->system_json.len && !p->params_json.len)
        return true;
    if (!buf_text(b, "    recipe:\n") || !system_text(b, p->system_json))
        return false;
    return !p->params_json.len ||
           (buf_text(b, "      params: {") && buf_add(b, p->params_json.at, p->params_json.len) &&
            buf_text(b, "}\n"));
}

static bool condition(struct buf *b, const char *key, uint64_t value)
{
    return !value || buf_printf(b, ", %s: %llu", key, (unsigned long long)value);
}

static bool conditions(struct buf *b, const struct catalog_route *p)
{
    char amount[MONEY_TEXT_BYTES];
    return condition(b, "context_min", p->context_min) &&
           condition(b, "context_max", p->context_max) &&
           (!p->cost_max.atoms ||
            buf_printf(b, ", cost_max: %s", money_text(p->cost_max, 2, amount)));
}

static bool routes(struct buf *b, const struct catalog_model *m)
{
    if (m->parent && m->parent->routes == m->routes)
        return true;
    if (!buf_text(b, "    routes:\n"))
        return false;
    for (size_t i = 0; i < m->route_count; i++) {
        const struct catalog_route *p = &m->routes[i];
        if (!buf_printf(b, "      - {backend: \"%s\", weight: %u, priority: %u, model: ",
                        p->backend->name, p->weight, p->priority) ||
            !value_quote(b, p->model) || !conditions(b, p) || !buf_text(b, "}\n"))
            return false;
    }
    return true;
}

static bool amount(struct buf *b, struct price p)
{
    static const struct {
        const char *suffix;
        int64_t units;
    } scales[] = { { "G", 1000000000 }, { "M", 1000000 }, { "k", 1000 }, { "", 1 } };
    unsigned i = 0;
    while (p.per_units % scales[i].units)
        i++;
    char text[MONEY_TEXT_BYTES];
    money_text((money_t){ p.atoms }, 2, text);
    return buf_printf(b, "%s/%lld%s", text, (long long)(p.per_units / scales[i].units),
                      scales[i].suffix);
}

static bool tiers(struct buf *b, const struct price_item *i)
{
    for (unsigned t = 0; t < i->tier_count; t++) {
        if (!buf_text(b, t ? ", {" : "[{"))
            return false;
        if (i->tiers[t].up_to != PRICE_NO_END &&
            !buf_printf(b, "up_to: %lld, ", (long long)i->tiers[t].up_to))
            return false;
        if (!buf_text(b, "unit: ") || !amount(b, i->tiers[t].price) || !buf_text(b, "}"))
            return false;
    }
    return buf_text(b, "]");
}

static bool item_amount(struct buf *b, const struct price_item *i)
{
    char text[MONEY_TEXT_BYTES];
    if (!buf_printf(b, "%s: ", price_kind_name(i->kind)))
        return false;
    switch (i->kind) {
    case PRICE_GRADUATED:
    case PRICE_VOLUME:
        return tiers(b, i);
    case PRICE_FLAT:
        return buf_printf(b, "%s, per: %s", money_text((money_t){ i->price.atoms }, 2, text),
                          i->per_period ? "period" : "request");
    case PRICE_INCLUDED:
        return buf_printf(b, "%lld", (long long)i->included);
    default:
        return amount(b, i->price);
    }
}

static bool item(struct buf *b, const struct price_item *i, int indent)
{
    char time[TIME_BAND_TEXT_BYTES];
    bool fits =
        buf_printf(b, "%*s  - {", indent, "") && item_amount(b, i) &&
        (!i->list.per_units || (buf_text(b, ", list: ") && amount(b, i->list))) &&
        (!i->context_min || buf_printf(b, ", context_min: %lld", (long long)i->context_min)) &&
        (i->context_max == PRICE_NO_END ||
         buf_printf(b, ", context_max: %lld", (long long)i->context_max));
    for (unsigned d = 0; fits && d < PRICE_DIMS; d++) /* in quotes: 1024 would be no text */
        fits = !i->dim[d].len || buf_printf(b, ", %s: \"%.*s\"", price_dim_name((enum price_dim)d),
                                            (int)i->dim[d].len, i->dim[d].at);
    return fits &&
           (!i->time.days ||
            buf_printf(b, ", time: \"%s\"", time_band_text(&i->time, ' ', time))) &&
           buf_text(b, "}\n");
}

static bool meter_of(struct buf *b, const struct catalog_model *m, enum meter meter, int indent)
{
    struct price_item plain;
    struct price_items items = model_prices(m, meter, &plain);
    if (!items.count)
        return true;
    if (!buf_printf(b, "%*s%s:", indent, "", meter_name(meter)))
        return false;
    if (items.count == 1 && price_item_plain(items.at))
        return buf_text(b, " ") && amount(b, items.at->price) && buf_text(b, "\n");
    bool fits = buf_text(b, "\n");
    for (unsigned i = 0; fits && i < items.count; i++)
        fits = item(b, &items.at[i], indent);
    return fits;
}

static bool prices_of(struct buf *b, const struct catalog_model *m, int indent)
{
    for (unsigned i = 0; i < METER_COUNT; i++)
        if (!(m->derived >> i & 1) && !meter_of(b, m, (enum meter)i, indent))
            return false;
    return true;
}

static bool tensor(struct buf *b, const char *json)
{
    const char *lists = strstr(json, "\"inputs\":"); /* an id has no quotes: this is the key */
    return !lists || buf_printf(b, "    tensor: {%s\n", lists);
}

static bool model(struct buf *b, const struct catalog_model *m)
{
    return buf_printf(b, "  \"%s\":\n", m->id) && quoted(b, "description", m->description) &&
           quoted(b, "owned_by", m->owned_by) && capabilities(b, m->capabilities) &&
           created(b, m->created) && number(b, "context_length", m->context_length) &&
           number(b, "max_output_tokens", m->max_output_tokens) &&
           number(b, "default_output_tokens", m->default_output_tokens) &&
           number(b, "images_max", m->images_max) &&
           (!(m->capabilities & (CAP_TRANSCRIPTION | CAP_TRANSLATION)) ||
            number(b, "audio_bytes_per_second_min", m->audio_bytes_per_second_min)) &&
           (!model_priced(m, METER_VIDEO_MS) || number(b, "video_ms_max", m->video_ms_max)) &&
           buf_printf(b, "    life: %s\n", life_name(m->life)) &&
           quoted(b, "life_note", m->life_note) && flag(b, "default", m->scope_default) &&
           quoted(b, "parent", m->parent ? m->parent->id : "") &&
           flag(b, "fallback_to_parent", m->fallback_to_parent) &&
           (m->affinity == AFFINITY_NONE || buf_text(b, "    affinity: prefix\n")) &&
           quoted(b, "tokenizer", m->tokenizer ? m->tokenizer->name : "") &&
           recipe(b, &m->recipe) && routes(b, m) &&
           (!m->priced || buf_text(b, "    price:\n")) && /* else they are published */
           prices_of(b, m, 6) && tensor(b, m->tensor_json);
}

static bool tokenizer(struct buf *b, const struct catalog_tokenizer *t)
{
    return buf_printf(b, "  \"%s\":\n", t->name) && quoted(b, "rank_file", t->rank_file) &&
           quoted(b, "pattern", t->pattern) && quoted(b, "pattern_regex", t->pattern_regex) &&
           buf_printf(b,
                      "    message_tokens: %llu\n    request_tokens: %llu\n"
                      "    tolerance_basis_points: %llu\n    tolerance_tokens: %llu\n"
                      "    hold: %s\n",
                      (unsigned long long)t->message_tokens, (unsigned long long)t->request_tokens,
                      (unsigned long long)t->tolerance_basis_points,
                      (unsigned long long)t->tolerance_tokens,
                      t->hold == TOKENIZER_HOLD_COUNT ? "count" : "bytes");
}

static bool tokenizers(struct buf *b, const struct catalog *c)
{
    bool ok = !c->tokenizer_count || buf_text(b, "tokenizers:\n");
    for (size_t i = 0; ok && i < c->tokenizer_count; i++)
        ok = tokenizer(b, &c->tokenizers[i]);
    return ok;
}

static bool egress(struct buf *b, const struct egress *e)
{
    char text[CIDR_TEXT_BYTES];
    if (!e->allowed)
        return true;
    bool ok = buf_text(b, "\negress_allow: [");
    for (size_t i = 0; ok && i < e->count; i++)
        ok = buf_printf(b, "%s\"%s\"", i ? ", " : "", cidr_text(&e->allowed[i], text));
    return ok && buf_text(b, "]");
}

static bool print_catalog(struct buf *b, const struct catalog *c)
{
    if ((*c->price_book && (!buf_text(b, "price_book: ") || !value_quote(b, c->price_book))) ||
        !egress(b, &c->egress) || !alerts_print(b, &c->alerts) ||
        !buf_text(b, c->backend_count ? "\nbackends:\n" : "\nbackends: {}\n"))
        return false;
    for (size_t i = 0; i < c->backend_count; i++)
        if (!backend(b, &c->backends[i]))
            return false;
    if (!tokenizers(b, c) || !buf_text(b, c->model_count ? "models:\n" : "models: {}\n"))
        return false;
    for (size_t i = 0; i < c->model_count; i++)
        if (!model(b, &c->models[i]))
            return false;
    return true;
}

static bool is_default(const struct conf_row *row, const struct conf *c)
{
    char now[VALUE_TEXT_BYTES], def[VALUE_TEXT_BYTES];
    const char *value = conf_value_text(row, c, now);
    uint64_t n;
    if (conf_is_text(row) || !value_number(row->type, row->def, &n))
        return !strcmp(value, row->def);
    return !strcmp(value, value_number_text(row->type, n, def));
}

static bool setting(struct buf *b, const struct conf_row *row, const struct conf *c)
{
    char text[VALUE_TEXT_BYTES];
    const char *value = conf_value_text(row, c, text);
    return buf_printf(b, "%s: ", row->key) &&
           (conf_is_text(row) ? value_quote(b, value) : buf_text(b, value)) &&
           buf_text(b, is_default(row, c) ? " # default\n" : "\n");
}

static bool print_all(struct buf *b, const struct conf *c)
{
    for (const struct conf_row *row = conf_table; row->key; row++)
        if (!setting(b, row, c))
            return false;
    return print_catalog(b, c->catalog);
}

void conf_print(const struct conf *c, FILE *out)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, PRINT_BYTES_MAX);
    if (print_all(&b, c))
        fwrite(b.at, 1, b.len, out);
    else
        fputs("# there is not enough memory to print the configuration\n", out);
}
