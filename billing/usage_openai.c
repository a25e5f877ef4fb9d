/* billing/usage_openai.c -- usage and costs as OpenAI shows them (reference/billing.md 5.1). */
#include "base/money.h"
#include "billing/usage_page_inside.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OF(KIND) (1U << USAGE_##KIND)

static const struct usage_field {
    const char *name;
    unsigned kinds;
    uint32_t meters; /* added up */
    int64_t unit;    /* so much of them is one */
} fields[] = {
    { "input_tokens", OF(COMPLETIONS) | OF(EMBEDDINGS) | OF(MODERATIONS), METERS_TOKENS_IN, 1 },
    { "input_cached_tokens", OF(COMPLETIONS), METER_BIT(INPUT_CACHED), 1 },
    { "input_cache_write_tokens", OF(COMPLETIONS),
      METER_BIT(INPUT_CACHE_WRITE) | METER_BIT(INPUT_CACHE_WRITE_1H), 1 },
    { "input_uncached_tokens", OF(COMPLETIONS), METERS_UNCACHED, 1 },
    { "input_text_tokens", OF(COMPLETIONS), METER_BIT(INPUT_UNCACHED), 1 },
    { "input_audio_tokens", OF(COMPLETIONS), METER_BIT(INPUT_AUDIO), 1 },
    { "input_image_tokens", OF(COMPLETIONS), METER_BIT(INPUT_IMAGE), 1 },
    { "output_tokens", OF(COMPLETIONS), METERS_TOKENS_OUT, 1 },
    { "output_text_tokens", OF(COMPLETIONS), METER_BIT(OUTPUT_TEXT) | METER_BIT(OUTPUT_REASONING),
      1 },
    { "output_audio_tokens", OF(COMPLETIONS), METER_BIT(OUTPUT_AUDIO), 1 },
    { "output_image_tokens", OF(COMPLETIONS), METER_BIT(OUTPUT_IMAGE), 1 },
    { "images", OF(IMAGES), METER_BIT(IMAGES), 1 },
    { "characters", OF(SPEECHES), METER_BIT(CHARACTERS), 1 },
    { "seconds", OF(TRANSCRIPTIONS), METER_BIT(AUDIO_MS), 1000 },
    { "x_milliseconds", OF(TRANSCRIPTIONS), METER_BIT(AUDIO_MS), 1 },
};

static void put_usage(struct usage_writer *w)
{
    enum usage_kind kind = w->query->kind;
    usage_put(w, "{\"object\":\"organization.usage.%s.result\"", usage_kind_name(kind));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].kinds >> kind & 1)
            usage_put(w, ",\"%s\":%" PRId64, fields[i].name,
                      usage_sum_of(&w->group, fields[i].meters) / fields[i].unit);
    usage_put(w, ",\"num_model_requests\":%" PRId64, w->group.requests);
    usage_put_name(w, "model", w->group.name[OF_MODEL]);
    if (kind == USAGE_IMAGES)
        usage_put(w, ",\"source\":null,\"size\":null");
    if (kind == USAGE_COMPLETIONS) {
        const char *tier = w->group.name[OF_TIER];
        usage_put(w, ",\"batch\":null");
        usage_put_name(w, "service_tier", strcmp(tier, "standard") == 0 ? "default" : tier);
    }
}

/* OpenAI's word for the unit, and how many of ours it is; a unit of our own has none. */
static const struct cost_unit {
    const char *ours, *theirs;
    int64_t unit;
} cost_units[] = {
    { "token", "tokens", 1 },
    { "image", "images", 1 },
    { "character", "characters", 1 },
    { "millisecond", "duration_seconds", 1000 },
};

static void put_quantity(struct usage_writer *w, enum meter meter)
{
    int64_t qty = w->group.qty[meter];
    const struct cost_unit *u = NULL;
    for (size_t i = 0; i < sizeof cost_units / sizeof *cost_units; i++)
        if (strcmp(cost_units[i].ours, meter_unit(meter)) == 0)
            u = &cost_units[i];
    if (u && u->unit > 1)
        usage_put(w, ",\"quantity\":%" PRId64 ".%03" PRId64, qty / u->unit, qty % u->unit);
    else
        usage_put(w, ",\"quantity\":%" PRId64, qty);
    usage_put_name(w, "quantity_unit", u ? u->theirs : "");
}

static void put_cost(struct usage_writer *w)
{
    const struct usage_group_sums *g = &w->group;
    char currency[sizeof w->currency];
    for (size_t i = 0; i < sizeof currency; i++)
        currency[i] = (char)tolower((unsigned char)w->currency[i]);
    char owed[MONEY_TEXT_BYTES], covered[MONEY_TEXT_BYTES], item[USAGE_NAME_BYTES + 64] = "";
    bool line = g->meter >= 0;
    usage_put(
        w,
        "{\"object\":\"organization.costs.result\",\"amount\":{\"value\":%s,\"currency\":\"%s\"}",
        money_text((money_t){ g->atoms - g->covered }, 2, owed), currency);
    usage_put(w, ",\"x_covered\":\"%s\"", money_text((money_t){ g->covered }, 2, covered));
    if (line) {
        snprintf(item, sizeof item, "%s, %s", g->name[OF_MODEL], meter_name((enum meter)g->meter));
        put_quantity(w, (enum meter)g->meter);
    } else {
        usage_put(w, ",\"quantity\":null,\"quantity_unit\":null");
    }
    usage_put_name(w, "line_item", item);
}

static void put_result(struct usage_writer *w)
{
    if (w->query->kind == USAGE_COSTS)
        put_cost(w);
    else
        put_usage(w);
    usage_put_name(w, "project_id", w->group.name[OF_PROJECT]);
    usage_put_name(w, "user_id", "");
    usage_put_name(w, "api_key_id", w->group.name[OF_KEY]);
    usage_put(w, "}");
}

static void put_bucket(struct usage_writer *w, int64_t from_us, int64_t to_us)
{
    usage_put(w,
              "{\"object\":\"bucket\",\"start_time\":%" PRId64 ",\"end_time\":%" PRId64
              ",\"results\":[",
              from_us / 1000000, to_us / 1000000);
}

const struct usage_shape_row usage_openai = { "{\"object\":\"page\",\"data\":[", put_bucket,
                                              put_result };
