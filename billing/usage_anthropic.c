/* billing/usage_anthropic.c -- usage and costs as Anthropic shows them (reference/billing.md 5.2):
 * amounts are decimal strings in the lowest unit of the currency, cents and not dollars. */
#include "billing/decimal.h"
#include "billing/period.h"
#include "billing/usage_page_inside.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define QTY(w, NAME) usage_sum_of(&(w)->group, METER_BIT(NAME))

static void put_instant(struct usage_writer *w, const char *key, int64_t us)
{
    char text[PERIOD_TEXT_BYTES];
    usage_put(w, "\"%s\":\"%s\"", key, period_instant_text(us, text));
}

static void put_bucket(struct usage_writer *w, int64_t from_us, int64_t to_us)
{
    usage_put(w, "{");
    put_instant(w, "starting_at", from_us);
    usage_put(w, ",");
    put_instant(w, "ending_at", to_us);
    usage_put(w, ",\"results\":[");
}

static void put_keys(struct usage_writer *w)
{
    usage_put_name(w, "workspace_id", w->group.name[OF_PROJECT]);
    usage_put_name(w, "model", w->group.name[OF_MODEL]);
    usage_put_name(w, "service_tier", w->group.name[OF_TIER]);
    usage_put_name(w, "context_window", w->group.name[OF_CONTEXT]);
    usage_put_name(w, "inference_geo", w->query->no_region ? "not_available" : "");
}

static void put_usage(struct usage_writer *w)
{
    usage_put(w,
              "{\"uncached_input_tokens\":%" PRId64
              ",\"cache_creation\":{\"ephemeral_1h_input_tokens\":%" PRId64
              ",\"ephemeral_5m_input_tokens\":%" PRId64 "},\"cache_read_input_tokens\":%" PRId64
              ",\"output_tokens\":%" PRId64 ",\"server_tool_use\":{\"web_search_requests\":0}"
              ",\"x_requests\":%" PRId64,
              usage_sum_of(&w->group, METERS_UNCACHED), QTY(w, INPUT_CACHE_WRITE_1H),
              QTY(w, INPUT_CACHE_WRITE), QTY(w, INPUT_CACHED),
              usage_sum_of(&w->group, METERS_TOKENS_OUT), w->group.requests);
    usage_put_name(w, "api_key_id", w->group.name[OF_KEY]);
    put_keys(w);
}

/* Anthropic's word for what a meter counts; other meters have none. */
static const char *token_type(int64_t meter)
{
    uint32_t bit = UINT32_C(1) << meter;
    return bit & METERS_UNCACHED                   ? "uncached_input_tokens"
           : bit & METERS_TOKENS_OUT               ? "output_tokens"
           : bit & METER_BIT(INPUT_CACHED)         ? "cache_read_input_tokens"
           : bit & METER_BIT(INPUT_CACHE_WRITE)    ? "cache_creation.ephemeral_5m_input_tokens"
           : bit & METER_BIT(INPUT_CACHE_WRITE_1H) ? "cache_creation.ephemeral_1h_input_tokens"
                                                   : "";
}

/* Of a group that is not one meter it is not said what was used. */
static void put_line(struct usage_writer *w)
{
    const struct usage_group_sums *g = &w->group;
    char text[USAGE_NAME_BYTES + 64] = "";
    const char *type = g->meter < 0 ? "" : token_type(g->meter);
    if (g->meter >= 0)
        snprintf(text, sizeof text, "%s, %s", g->name[OF_MODEL], meter_name((enum meter)g->meter));
    usage_put_name(w, "description", text);
    usage_put_name(w, "cost_type", *type ? "tokens" : "");
    usage_put_name(w, "token_type", type);
}

static void put_cost(struct usage_writer *w)
{
    const struct usage_group_sums *g = &w->group;
    char owed[DECIMAL_TEXT_BYTES], covered[DECIMAL_TEXT_BYTES];
    int digits = w->query->minor_digits;
    usage_put(w, "{\"currency\":\"%s\",\"amount\":\"%s\",\"x_covered\":\"%s\"", w->currency,
              decimal_minor(g->atoms - g->covered, MONEY_ATOM_EXP - digits, owed),
              decimal_minor(g->covered, MONEY_ATOM_EXP - digits, covered));
    put_line(w);
    put_keys(w);
}

static void put_result(struct usage_writer *w)
{
    if (w->query->kind == USAGE_COSTS)
        put_cost(w);
    else
        put_usage(w);
    usage_put(w, "}");
}

const struct usage_shape_row usage_anthropic = { "{\"data\":[", put_bucket, put_result };
