/* backends/usage_map.c -- see usage_map.h: the maps, then the one reader of all of them. */
#include "backends/usage_map.h"
#include <assert.h>

#define AUDIO      (CAP_TRANSCRIPTION | CAP_TRANSLATION)
#define ONLY_IN    (CAP_EMBEDDINGS | CAP_RERANK | CAP_MODERATION)
#define PART_OF(m) .within = METER_##m

static const char *const all_in[] = { "prompt_tokens", "input_tokens", NULL };
static const char *const all[] = { "total_tokens", NULL };
static const char *const details_in[] = { "prompt_tokens_details", "input_tokens_details",
                                          "input_token_details", NULL };
static const char *const cache_hits[] = { "prompt_cache_hit_tokens", NULL };
static const char *const all_out[] = { "completion_tokens", "output_tokens", NULL };
static const char *const details_out[] = { "completion_tokens_details", "output_tokens_details",
                                           NULL };
/* Writes by how long they are kept, where they are told apart. */
static const char *const cache_writes[] = { "cache_creation", NULL };
static const char *const film_seconds[] = { "video_duration", NULL };
static const char *const seconds[] = { "seconds", NULL };
static const char *const duration[] = { "duration", NULL };
static const char *const data[] = { "data", NULL };

/* What was cached is said of the whole input: it is taken from text first, so it comes before
 * images, films and audio, and of these the dearer one last.  A vendor that counts cached audio as audio,
 * too, then never makes more of the parts than of the whole.  Output tokens of an images answer
 * that are not told apart are those of the images. */
/* clang-format off */
static const struct usage_row openai_rows[] = {
    { METER_INPUT_UNCACHED,    USAGE_NUMBER,   .keys = all_in },
    { METER_INPUT_UNCACHED,    USAGE_NUMBER,   all, .only = ONLY_IN },
    { METER_INPUT_CACHED,      USAGE_NUMBER,   details_in, "cached_tokens", PART_OF(INPUT_UNCACHED) },
    { METER_INPUT_CACHE_WRITE, USAGE_NUMBER,   details_in, "cache_write_tokens", PART_OF(INPUT_UNCACHED) },
    { METER_INPUT_IMAGE,       USAGE_NUMBER,   details_in, "image_tokens", PART_OF(INPUT_UNCACHED), .shared = true },
    { METER_INPUT_VIDEO,       USAGE_NUMBER,   details_in, "video_tokens", PART_OF(INPUT_UNCACHED), .shared = true },
    { METER_INPUT_AUDIO,       USAGE_NUMBER,   details_in, "audio_tokens", PART_OF(INPUT_UNCACHED), .shared = true },
    { METER_INPUT_CACHE_WRITE, USAGE_NUMBER,   cache_writes, "ephemeral_5m_input_tokens", PART_OF(INPUT_UNCACHED) },
    { METER_INPUT_CACHE_WRITE_1H, USAGE_NUMBER, cache_writes, "ephemeral_1h_input_tokens", PART_OF(INPUT_UNCACHED) },
    { METER_INPUT_CACHED,      USAGE_NUMBER,   cache_hits, PART_OF(INPUT_UNCACHED) },
    { METER_OUTPUT_TEXT,       USAGE_NUMBER,   .keys = all_out },
    { METER_OUTPUT_REASONING,  USAGE_NUMBER,   details_out, "reasoning_tokens", PART_OF(OUTPUT_TEXT) },
    { METER_OUTPUT_IMAGE,      USAGE_NUMBER,   details_out, "image_tokens", PART_OF(OUTPUT_TEXT) },
    { METER_OUTPUT_AUDIO,      USAGE_NUMBER,   details_out, "audio_tokens", PART_OF(OUTPUT_TEXT) },
    { METER_OUTPUT_IMAGE,      USAGE_REST,     NULL, PART_OF(OUTPUT_TEXT), .only = CAP_IMAGES },
    { METER_VIDEO_MS,          USAGE_SECONDS,  film_seconds, .only = CAP_CHAT },
    { METER_AUDIO_MS,          USAGE_SECONDS,  seconds, .only = AUDIO },
    { METER_AUDIO_MS,          USAGE_SECONDS,  duration, .only = AUDIO, .at_top = true },
    { METER_IMAGES,            USAGE_ELEMENTS, data, .only = CAP_IMAGES, .at_top = true },
};
/* clang-format on */

static const struct usage_map maps[USAGE_MAP_COUNT] = {
    [USAGE_MAP_OPENAI] = { { { "usage" } },
                           openai_rows,
                           sizeof openai_rows / sizeof *openai_rows,
                           NULL },
    [USAGE_MAP_OIP2] = { .shapes = "inputs" },
};

const struct usage_map *usage_map_find(enum usage_map_id id)
{
    return &maps[id];
}

/* ---- what to look for ---- */

size_t usage_map_fields(const struct usage_map *m, bool whole,
                        struct jfield fields[static USAGE_FIELDS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < USAGE_OBJECTS_MAX && m->objects[i][0]; i++)
        fields[n++] = (struct jfield){ .key = m->objects[i][0] };
    for (size_t i = 0; whole && i < m->count; i++)
        if (m->rows[i].at_top) {
            assert(n < USAGE_FIELDS_MAX);
            fields[n++] = (struct jfield){ .key = m->rows[i].keys[0] };
        }
    return n;
}

static bool reported(const struct jfield *f)
{
    return f->type != J_ABSENT && f->type != J_NULL;
}

bool usage_map_told(const struct usage_map *m, const struct jfield *fields)
{
    for (size_t i = 0; i < USAGE_OBJECTS_MAX && m->objects[i][0]; i++)
        if (fields[i].type == J_OBJECT)
            return true;
    return false;
}

/* ---- one number ---- */

static bool believable(int64_t value)
{
    return value >= 0 && value <= USAGE_QTY_MAX;
}

/* "8", "8.47": thousandths, what is finer is cut off. */
static bool read_thousandths(struct span number, int64_t *ret)
{
    size_t at = 0, decimals = 0;
    int64_t value = 0;
    for (; at < number.len && number.at[at] != '.'; at++) {
        if (number.at[at] < '0' || number.at[at] > '9' || value > USAGE_QTY_MAX)
            return false;
        value = 10 * value + (number.at[at] - '0');
    }
    for (at++; decimals < 3; at++, decimals++) {
        bool digit = at < number.len && number.at[at] >= '0' && number.at[at] <= '9';
        if (at < number.len && !digit)
            return false;
        value = 10 * value + (digit ? number.at[at] - '0' : 0);
    }
    *ret = value;
    return !memchr(number.at, 'e', number.len) && !memchr(number.at, 'E', number.len);
}

static bool read_value(const struct usage_row *row, const struct jfield *f,
                       const struct usage_reading *u, int64_t *ret)
{
    switch (row->how) {
    case USAGE_NUMBER:
        return jscan_int(f, ret);
    case USAGE_SECONDS:
        return f->type == J_NUMBER && read_thousandths(f->value, ret);
    case USAGE_ELEMENTS:
        if (f->type == J_ARRAY)
            *ret = (int64_t)jscan_array_count(f->value);
        return f->type == J_ARRAY;
    case USAGE_REST:
        *ret = (int64_t)u->usage.qty[row->within];
        return true;
    }
    return false;
}

struct reading {
    enum capability capability;
    struct usage_reading *u;
    uint64_t whole[METER_COUNT]; /* before parts were taken out */
};

/* Moves a part out of the meter that counted it, at most what is left there. */
static void split_off(const struct usage_row *row, int64_t *part, struct reading *r)
{
    uint64_t *left = &r->u->usage.qty[row->within];
    if ((uint64_t)*part > (row->shared ? r->whole[row->within] : *left))
        r->u->suspect = true;
    if ((uint64_t)*part > *left)
        *part = (int64_t)*left;
    *left -= (uint64_t)*part;
}

static void read_row(const struct usage_row *row, const struct jfield *f, struct reading *r)
{
    const struct usage *known = &r->u->usage;
    int64_t value;
    if ((row->how != USAGE_REST && !reported(f)) || usage_has(known, row->meter) ||
        (row->within && !usage_has(known, row->within)))
        return;
    if (!read_value(row, f, r->u, &value) || !believable(value)) {
        r->u->suspect = true;
        return;
    }
    if (row->within)
        split_off(row, &value, r);
    usage_set(&r->u->usage, row->meter, (uint64_t)value);
    r->whole[row->meter] = (uint64_t)value;
}

/* ---- an object of them ---- */

struct fields {
    struct jfield field[USAGE_KEYS_MAX];
    size_t count;
    const char *const
        *lists[USAGE_KEYS_MAX]; /* whose key each field is: lists are told apart by address */
};

static size_t find_list(const struct fields *f, const char *const *keys)
{
    size_t at = 0;
    while (at < f->count && f->lists[at] != keys)
        at++;
    return at;
}

static void add_keys(struct fields *f, const char *const *keys)
{
    if (!keys || find_list(f, keys) < f->count)
        return;
    for (const char *const *key = keys; *key; key++, f->count++) {
        assert(f->count < USAGE_KEYS_MAX);
        f->field[f->count] = (struct jfield){ .key = *key };
        f->lists[f->count] = keys;
    }
}

/* The first of the keys that is there; else one that is not. */
static const struct jfield *pick(const struct fields *f, const char *const *keys)
{
    static const struct jfield none = { .type = J_ABSENT };
    for (size_t at = find_list(f, keys); at < f->count && f->lists[at] == keys; at++)
        if (reported(&f->field[at]))
            return &f->field[at];
    return &none;
}

static bool applies(const struct usage_row *row, enum capability capability, bool at_top)
{
    return row->at_top == at_top && (!row->only || (row->only & capability));
}

/* Rows that are members of one object, found in one scan.  A key twice: nothing of it is believed. */
static void read_subs(const struct usage_row *row, size_t count, const struct jfield *object,
                      struct reading *r)
{
    struct jfield sub[USAGE_SUBS_MAX];
    assert(count <= USAGE_SUBS_MAX);
    for (size_t i = 0; i < count; i++)
        sub[i] = (struct jfield){ .key = row[i].sub };
    if (object->type != J_OBJECT || jscan_member(object->value, sub, count) != STATUS_OK)
        return;
    for (size_t i = 0; i < count; i++)
        if (applies(&row[i], r->capability, false))
            read_row(&row[i], &sub[i], r);
}

static size_t rows_together(const struct usage_row *row, const struct usage_row *end)
{
    const struct usage_row *next = row + 1;
    while (next < end && next->sub && next->keys == row->keys)
        next++;
    return (size_t)(next - row);
}

static void read_object(const struct usage_map *m, struct span object, struct reading *r)
{
    const struct usage_row *end = m->rows + m->count;
    struct fields f;
    f.count = 0;
    for (const struct usage_row *row = m->rows; row < end; row++)
        if (applies(row, r->capability, false))
            add_keys(&f, row->keys);
    if (jscan_member(object, f.field, f.count) != STATUS_OK) {
        r->u->suspect = true;
        return;
    }
    for (const struct usage_row *row = m->rows; row < end;) {
        size_t count = row->sub ? rows_together(row, end) : 1;
        if (row->sub)
            read_subs(row, count, pick(&f, row->keys), r);
        else if (applies(row, r->capability, false))
            read_row(row, pick(&f, row->keys), r);
        row += count;
    }
}

/* From the first member of a path to its last.  False: it is not there. */
static bool walk(const char *const path[static USAGE_DEPTH_MAX], const struct jfield *first,
                 struct jfield *ret, bool *suspect)
{
    *ret = *first;
    for (size_t i = 1; i < USAGE_DEPTH_MAX && path[i] && ret->type == J_OBJECT; i++) {
        struct jfield next = { .key = path[i] };
        if (jscan_member(ret->value, &next, 1) != STATUS_OK)
            next.type = J_ABSENT;
        *ret = next;
    }
    if (reported(ret) && ret->type != J_OBJECT)
        *suspect = true;
    return ret->type == J_OBJECT;
}

struct usage_reading usage_map_read(const struct usage_map *m, enum capability capability,
                                    bool whole, const struct jfield *fields)
{
    struct usage_reading u = { .suspect = false };
    struct reading r = { .capability = capability, .u = &u };
    struct jfield object;
    for (size_t i = 0; i < USAGE_OBJECTS_MAX && m->objects[i][0]; i++, fields++)
        if (walk(m->objects[i], fields, &object, &u.suspect))
            read_object(m, object.value, &r);
    for (size_t i = 0; whole && i < m->count; i++)
        if (m->rows[i].at_top) {
            if (applies(&m->rows[i], capability, true))
                read_row(&m->rows[i], fields, &r);
            fields++;
        }
    return u;
}

/* ---- what the request says ---- */

/* The product of a shape; false: it is none, or more than can be. */
static bool elements_of(struct span tensor, int64_t *ret)
{
    struct jfield shape = { .key = "shape" }, size;
    int64_t product = 1, n;
    size_t at = 0;
    if (jscan_member(tensor, &shape, 1) != STATUS_OK || shape.type != J_ARRAY)
        return false;
    while (jscan_element(shape.value, &at, &size))
        if (!jscan_int(&size, &n) || !believable(n) ||
            __builtin_mul_overflow(product, n, &product) || !believable(product))
            return false;
    *ret = product;
    return true;
}

void usage_map_request(const struct usage_map *m, struct span json, struct usage_reading *u)
{
    struct jfield tensors = { .key = m->shapes }, tensor;
    struct jscan_error ignored;
    int64_t sum = 0, elements;
    size_t at = 0;
    if (!m->shapes || jscan_object(json, &tensors, 1, &ignored) != STATUS_OK ||
        tensors.type != J_ARRAY)
        return;
    while (jscan_element(tensors.value, &at, &tensor)) {
        if (tensor.type != J_OBJECT || !elements_of(tensor.value, &elements) ||
            !believable(sum + elements)) {
            u->suspect = true;
            return;
        }
        sum += elements;
    }
    usage_set(&u->usage, METER_TENSOR_ELEMENTS, (uint64_t)sum);
}

bool usage_advance(struct usage *total, const struct usage *next)
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
