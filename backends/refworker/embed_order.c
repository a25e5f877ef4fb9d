/* backends/refworker/embed_order.c -- reading an embeddings request, writing one vector. */
#include "backends/refworker/base64.h"
#include "backends/refworker/embed.h"
#include "backends/refworker/embeddings.h"
#include "backends/refworker/json_text.h"
#include <stdio.h>

static bool read_texts(struct embed_order *o, struct fault *fault)
{
    static const char shape[] = "input must be a string or an array of strings";
    o->input = json_object_get(o->tree, "input");
    o->count = json_is_string(o->input) ? 1 : json_array_size(o->input);
    if (!json_is_string(o->input) && !json_is_array(o->input))
        return fault_set(fault, "%s", shape);
    if (o->count == 0 || o->count > EMBED_INPUTS_MAX)
        return fault_set(fault, "input must have 1 to %d texts", EMBED_INPUTS_MAX);
    size_t i;
    json_t *text;
    json_array_foreach (o->input, i, text) {
        if (json_is_integer(text) || json_is_array(text))
            return fault_set(fault, "input: token ids are not accepted, they belong to another "
                                    "tokenizer; send text");
        if (!json_is_string(text))
            return fault_set(fault, "%s", shape);
    }
    return true;
}

static bool read_format(struct embed_order *o, struct fault *fault)
{
    const json_t *format = json_object_get(o->tree, "encoding_format");
    if (!format || json_is_null(format))
        return true;
    const char *name = json_is_string(format) ? json_string_value(format) : "";
    o->base64 = strcmp(name, "base64") == 0;
    if (!o->base64 && strcmp(name, "float") != 0)
        return fault_set(fault, "encoding_format must be 'float' or 'base64'");
    return true;
}

static bool read_dimensions(struct embed_order *o, struct fault *fault)
{
    const json_t *field = json_object_get(o->tree, "dimensions");
    json_int_t value = json_integer_value(field);
    if (!field || json_is_null(field))
        return true;
    if (!json_is_integer(field) || value < 1 || value > EMBED_DIMENSIONS_MAX)
        return fault_set(fault, "dimensions must be an integer from 1 to %d", EMBED_DIMENSIONS_MAX);
    o->dimensions = (uint32_t)value;
    return true;
}

bool embed_order_read(struct span body, struct embed_order *ret, struct fault *fault)
{
    *ret = (struct embed_order){ .dimensions = EMBED_DIMENSIONS_DEFAULT };
    ret->tree = json_body(body, fault);
    if (!ret->tree)
        return false;
    return read_texts(ret, fault) && read_format(ret, fault) && read_dimensions(ret, fault);
}

struct span embed_order_text(const struct embed_order *o, size_t index)
{
    const json_t *text = json_is_array(o->input) ? json_array_get(o->input, index) : o->input;
    return json_span(text);
}

static bool write_base64(const int32_t *vector, uint32_t dimensions, struct buf *out)
{
    struct base64 b = { 0 };
    uint8_t bytes[EMBED_DIMENSIONS_MAX * 4];
    for (uint32_t i = 0; i < dimensions; i++) {
        float component = embed_float(vector[i]);
        uint32_t bits;
        memcpy(&bits, &component, sizeof bits);
        for (int k = 0; k < 4; k++) /* little-endian, whatever this machine is */
            bytes[4 * i + (unsigned)k] = (uint8_t)(bits >> 8 * k);
    }
    return buf_text(out, "\"") && base64_add(&b, bytes, 4 * (size_t)dimensions, out) &&
           base64_end(&b, out) && buf_text(out, "\"");
}

static bool write_floats(const int32_t *vector, uint32_t dimensions, struct buf *out)
{
    char text[32];
    for (uint32_t i = 0; i < dimensions; i++) {
        uint32_t size = (uint32_t)(vector[i] < 0 ? -vector[i] : vector[i]);
        int n = snprintf(text, sizeof text, "%s%s%u.%07u", i ? "," : "[", vector[i] < 0 ? "-" : "",
                         size / EMBED_ONE, size % EMBED_ONE);
        if (!buf_add(out, text, (size_t)n))
            return false;
    }
    return buf_text(out, "]");
}

bool embed_write(const struct embed_order *o, size_t index, struct buf *out)
{
    int32_t vector[EMBED_DIMENSIONS_MAX];
    embed_text(embed_order_text(o, index), o->dimensions, vector);
    return buf_printf(out,
                      "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", index ? "," : "",
                      index) &&
           (o->base64 ? write_base64(vector, o->dimensions, out)
                      : write_floats(vector, o->dimensions, out)) &&
           buf_text(out, "}");
}
