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
    DETAIL_IN_AUDIO,
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

struct part {
    const char *key;
    enum meter meter;
    bool shared; /* the same tokens may also be counted in a part before it */
};

/* The details that stand in each of the two objects; those that are plain text are the rest.
 * What was cached is said of the whole input: it is taken from text first, so it comes before
 * images and audio, and of these the dearer one last.  A vendor that counts cached audio as
 * audio, too, then never makes more of the parts than of the whole. */
static const struct part parts_in[] = { { "cached_tokens", METER_INPUT_CACHED, false },
                                        { "cache_write_tokens", METER_INPUT_CACHE_WRITE, false },
                                        { "image_tokens", METER_INPUT_IMAGE, true },
                                        { "audio_tokens", METER_INPUT_AUDIO, true } };
static const struct part parts_out[] = { { "reasoning_tokens", METER_OUTPUT_REASONING, false },
                                         { "image_tokens", METER_OUTPUT_IMAGE, false },
                                         { "audio_tokens", METER_OUTPUT_AUDIO, false } };
enum {
    PARTS_IN = sizeof parts_in / sizeof *parts_in,
    PARTS_OUT = sizeof parts_out / sizeof *parts_out
};

/* Moves each part out of *rest into its meter, at most what is left of it. */
static void split_off(const struct jfield *detail, const struct part *parts, size_t count,
                      uint64_t total, struct openai_usage *u, uint64_t *rest)
{
    struct jfield fields[PARTS_IN];
    for (size_t i = 0; i < count; i++)
        fields[i] = (struct jfield){ .key = parts[i].key };
    if (detail->type != J_OBJECT || jscan_member(detail->value, fields, count) != STATUS_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        uint64_t tokens;
        if (!read_count(&fields[i], &tokens, &u->suspect))
            continue;
        u->suspect = u->suspect || tokens > (parts[i].shared ? total : *rest);
        tokens = tokens < *rest ? tokens : *rest;
        *rest -= tokens;
        usage_set(&u->usage, parts[i].meter, tokens);
    }
}

static void read_input(const struct jfield *total, const struct jfield *detail,
                       struct openai_usage *u)
{
    uint64_t all, rest;
    if (!read_count(total, &all, &u->suspect))
        return;
    rest = all;
    split_off(detail, parts_in, PARTS_IN, all, u, &rest);
    usage_set(&u->usage, METER_INPUT_UNCACHED, rest);
}

static void read_output(const struct jfield *total, const struct jfield *detail,
                        struct openai_usage *u)
{
    uint64_t all, rest;
    if (!read_count(total, &all, &u->suspect))
        return;
    rest = all;
    split_off(detail, parts_out, PARTS_OUT, all, u, &rest);
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
        [DETAIL_IN_AUDIO] = { .key = "input_token_details" },
    };
    if (field->type == J_ABSENT || field->type == J_NULL)
        return u;
    if (field->type != J_OBJECT || jscan_member(field->value, top, TOP_COUNT) != STATUS_OK) {
        u.suspect = true;
        return u;
    }
    read_input(either(&top[TOTAL_IN], &top[TOTAL_IN_IMAGES]),
               either(&top[DETAIL_IN], either(&top[DETAIL_IN_IMAGES], &top[DETAIL_IN_AUDIO])), &u);
    read_output(either(&top[TOTAL_OUT], &top[TOTAL_OUT_IMAGES]),
                either(&top[DETAIL_OUT], &top[DETAIL_OUT_IMAGES]), &u);
    return u;
}

void openai_usage_images(const struct jfield *data, struct openai_usage *u)
{
    if (data->type == J_ARRAY)
        usage_set(&u->usage, METER_IMAGES, jscan_array_count(data->value));
    if (!usage_has(&u->usage, METER_OUTPUT_TEXT) || usage_has(&u->usage, METER_OUTPUT_IMAGE))
        return;
    usage_set(&u->usage, METER_OUTPUT_IMAGE, u->usage.qty[METER_OUTPUT_TEXT]);
    usage_set(&u->usage, METER_OUTPUT_TEXT, 0);
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

/* "key": followed by a string that is not empty. */
static bool says(struct span event, struct span key)
{
    const char *at = event.at, *end = event.at + event.len;
    while ((at = memmem(at, (size_t)(end - at), key.at, key.len))) {
        at += key.len;
        while (at < end && (*at == ' ' || *at == ':'))
            at++;
        if (end - at > 1 && at[0] == '"' && at[1] != '"')
            return true;
    }
    return false;
}

bool openai_event_silent(struct span event)
{
    static const struct span keys[] = { /* the usual one first */
                                        SPAN("\"content\""),   SPAN("\"text\""),
                                        SPAN("\"delta\""),     SPAN("\"reasoning_content\""),
                                        SPAN("\"reasoning\""), SPAN("\"arguments\""),
                                        SPAN("\"name\""),      SPAN("\"refusal\""),
                                        SPAN("\"thinking\""),  SPAN("\"partial_json\""),
                                        SPAN("\"data\"")
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (says(event, keys[i]))
            return false;
    return true;
}
