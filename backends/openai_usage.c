/* backends/openai_usage.c -- see openai_usage.h. */
#include "backends/openai_usage.h"

enum {
    TOTAL_IN,
    TOTAL_OUT,
    TOTAL_IN_IMAGES,
    TOTAL_OUT_IMAGES,
    DETAIL_IN,
    DETAIL_OUT,
    DETAIL_IN_IMAGES,
    DETAIL_OUT_IMAGES,
    TOP_COUNT
};

/* True when the member is a count that can be believed. */
static bool read_count(const struct jfield *f, uint64_t *ret, bool *suspect)
{
    int64_t value;
    if (f->type == J_ABSENT || f->type == J_NULL)
        return false;
    if (f->type != J_NUMBER || !jscan_int(f, &value) || value < 0 || value > OPENAI_USAGE_MAX) {
        *suspect = true;
        return false;
    }
    *ret = (uint64_t)value;
    return true;
}

static const struct jfield *either(const struct jfield *a, const struct jfield *b)
{
    return a->type == J_ABSENT || a->type == J_NULL ? b : a;
}

/* Moves the part called `key` out of *rest into meter m, at most what is left of it. */
static void split_off(struct jfield *part, enum meter m, uint64_t *rest, struct openai_usage *u)
{
    uint64_t count;
    if (!read_count(part, &count, &u->suspect))
        return;
    if (count > *rest) {
        u->suspect = true;
        count = *rest;
    }
    *rest -= count;
    usage_set(&u->usage, m, count);
}

static void read_input(const struct jfield *total, const struct jfield *detail,
                       struct openai_usage *u)
{
    struct jfield parts[] = { { .key = "cached_tokens" }, { .key = "cache_write_tokens" } };
    uint64_t rest;
    if (!read_count(total, &rest, &u->suspect))
        return;
    if (detail->type == J_OBJECT && jscan_member(detail->value, parts, 2) == STATUS_OK) {
        split_off(&parts[0], METER_INPUT_CACHED, &rest, u);
        split_off(&parts[1], METER_INPUT_CACHE_WRITE, &rest, u);
    }
    usage_set(&u->usage, METER_INPUT_UNCACHED, rest);
}

static void read_output(const struct jfield *total, const struct jfield *detail,
                        struct openai_usage *u)
{
    struct jfield part = { .key = "reasoning_tokens" };
    uint64_t rest;
    if (!read_count(total, &rest, &u->suspect))
        return;
    if (detail->type == J_OBJECT && jscan_member(detail->value, &part, 1) == STATUS_OK)
        split_off(&part, METER_OUTPUT_REASONING, &rest, u);
    usage_set(&u->usage, METER_OUTPUT_TEXT, rest);
}

struct openai_usage openai_usage_read(const struct jfield *field)
{
    struct openai_usage u = { 0 };
    struct jfield top[TOP_COUNT] = {
        [TOTAL_IN] = { .key = "prompt_tokens" },
        [TOTAL_OUT] = { .key = "completion_tokens" },
        [TOTAL_IN_IMAGES] = { .key = "input_tokens" },
        [TOTAL_OUT_IMAGES] = { .key = "output_tokens" },
        [DETAIL_IN] = { .key = "prompt_tokens_details" },
        [DETAIL_OUT] = { .key = "completion_tokens_details" },
        [DETAIL_IN_IMAGES] = { .key = "input_tokens_details" },
        [DETAIL_OUT_IMAGES] = { .key = "output_tokens_details" },
    };
    if (field->type == J_ABSENT || field->type == J_NULL)
        return u;
    if (field->type != J_OBJECT || jscan_member(field->value, top, TOP_COUNT) != STATUS_OK) {
        u.suspect = true;
        return u;
    }
    read_input(either(&top[TOTAL_IN], &top[TOTAL_IN_IMAGES]),
               either(&top[DETAIL_IN], &top[DETAIL_IN_IMAGES]), &u);
    read_output(either(&top[TOTAL_OUT], &top[TOTAL_OUT_IMAGES]),
                either(&top[DETAIL_OUT], &top[DETAIL_OUT_IMAGES]), &u);
    return u;
}

void openai_usage_images(const struct jfield *data, struct openai_usage *u)
{
    if (data->type == J_ARRAY)
        usage_set(&u->usage, METER_IMAGES, jscan_array_count(data->value));
}

bool openai_usage_advance(struct usage *total, const struct usage *next)
{
    struct usage sum = *total;
    for (enum meter m = 0; m < METER_COUNT; m++) {
        if (!usage_has(next, m))
            continue;
        if (usage_has(total, m) && next->qty[m] < total->qty[m])
            return false;
        usage_set(&sum, m, next->qty[m]);
    }
    *total = sum;
    return true;
}
