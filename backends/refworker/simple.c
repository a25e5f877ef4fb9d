/* backends/refworker/simple.c -- read two tensors, add and subtract them, write two tensors. */
#include "backends/refworker/simple.h"
#include "backends/refworker/json_text.h"
#include <endian.h>
#include <jansson.h>
#include <stdlib.h>

enum { TENSORS = 2, ELEMENTS_MAX = SIMPLE_BATCH_MAX * SIMPLE_WIDTH, NESTING_MAX = 2 };

static const char *const input_names[TENSORS] = { "INPUT0", "INPUT1" };
static const char *const output_names[TENSORS] = { "OUTPUT0", "OUTPUT1" };

struct order {
    const char *id;          /* NULL: the client gave none */
    uint32_t batch[TENSORS]; /* 0: not seen yet */
    int32_t data[TENSORS][ELEMENTS_MAX];
    unsigned output[TENSORS], output_count; /* which, in the order of the answer */
    bool binary_output[TENSORS];            /* in the same order */
    bool binary;                            /* unless an output says otherwise */
    struct span tail;                       /* binary tensors that no input has taken yet */
};

/* --- Reading ----------------------------------------------------------------------------------- */

static int find_name(const char *const names[TENSORS], const json_t *tensor)
{
    const char *name = json_string_value(json_object_get(tensor, "name"));
    for (int i = 0; name && i < TENSORS; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

static bool read_shape(const json_t *tensor, const char *name, uint32_t *ret_batch, struct fault *f)
{
    const json_t *shape = json_object_get(tensor, "shape");
    json_int_t batch = json_integer_value(json_array_get(shape, 0));
    json_int_t width = json_integer_value(json_array_get(shape, 1));
    if (json_array_size(shape) != 2 || batch < 1 || batch > SIMPLE_BATCH_MAX ||
        width != SIMPLE_WIDTH)
        return fault_set(f, "%s: shape must be [n,%d] with n from 1 to %d", name, SIMPLE_WIDTH,
                         SIMPLE_BATCH_MAX);
    *ret_batch = (uint32_t)batch;
    return true;
}

/* Flat or nested, in row-major order; *count is how many are read so far. */
static bool read_data(json_t *data, const char *name, unsigned depth, struct fault *f,
                      int32_t values[static ELEMENTS_MAX], size_t *count)
{
    size_t i;
    json_t *element;
    json_array_foreach (data, i, element) {
        if (json_is_array(element) && depth < NESTING_MAX) {
            if (!read_data(element, name, depth + 1, f, values, count))
                return false;
            continue;
        }
        json_int_t value = json_integer_value(element);
        if (!json_is_integer(element) || value < INT32_MIN || value > INT32_MAX)
            return fault_set(f, "%s: data must be integers from %d to %d", name, INT32_MIN,
                             INT32_MAX);
        if (*count == ELEMENTS_MAX)
            return fault_set(f, "%s: data has more elements than the shape", name);
        values[(*count)++] = (int32_t)value;
    }
    return true;
}

/* The next `size` bytes behind the JSON: little-endian, as many as the shape wants. */
static bool read_binary(const json_t *size, const char *name, unsigned i, struct order *o,
                        struct fault *f)
{
    size_t wanted = (size_t)o->batch[i] * SIMPLE_WIDTH * sizeof(int32_t);
    if (!json_is_integer(size) || json_integer_value(size) != (json_int_t)wanted)
        return fault_set(f, "%s: binary_data_size must be %zu, as the shape says", name, wanted);
    if (wanted > o->tail.len)
        return fault_set(f, "%s: the body ends before its %zu bytes of binary data", name, wanted);
    for (size_t k = 0; k < wanted / sizeof(int32_t); k++) {
        uint32_t word;
        memcpy(&word, o->tail.at + k * sizeof word, sizeof word);
        o->data[i][k] = (int32_t)le32toh(word);
    }
    o->tail = (struct span){ o->tail.at + wanted, o->tail.len - wanted };
    return true;
}

static bool read_json(const json_t *tensor, const char *name, unsigned i, struct order *o,
                      struct fault *f)
{
    json_t *data = json_object_get(tensor, "data");
    size_t count = 0;
    if (!json_is_array(data))
        return fault_set(f, "%s: data must be an array", name);
    if (!read_data(data, name, 1, f, o->data[i], &count))
        return false;
    if (count != (size_t)o->batch[i] * SIMPLE_WIDTH)
        return fault_set(f, "%s: data has %zu elements where the shape has %u", name, count,
                         o->batch[i] * SIMPLE_WIDTH);
    return true;
}

static bool read_input(json_t *tensor, struct order *o, struct fault *f)
{
    int i = find_name(input_names, tensor);
    if (i < 0)
        return fault_set(f, "inputs: the model 'simple' takes the tensors INPUT0 and INPUT1");
    const char *name = input_names[i];
    if (o->batch[i])
        return fault_set(f, "%s is given twice", name);
    const char *type = json_string_value(json_object_get(tensor, "datatype"));
    if (!type || strcmp(type, "INT32") != 0)
        return fault_set(f, "%s: datatype must be INT32", name);
    if (!read_shape(tensor, name, &o->batch[i], f))
        return false;
    const json_t *size = json_object_get(json_object_get(tensor, "parameters"), "binary_data_size");
    return size ? read_binary(size, name, (unsigned)i, o, f)
                : read_json(tensor, name, (unsigned)i, o, f);
}

static bool read_inputs(const json_t *body, struct order *o, struct fault *f)
{
    json_t *inputs = json_object_get(body, "inputs"), *tensor;
    size_t i;
    if (!json_is_array(inputs))
        return fault_set(f, "inputs must be an array of tensors");
    json_array_foreach (inputs, i, tensor)
        if (!read_input(tensor, o, f))
            return false;
    for (i = 0; i < TENSORS; i++)
        if (!o->batch[i])
            return fault_set(f, "%s is missing: the model 'simple' takes two tensors",
                             input_names[i]);
    if (o->batch[0] != o->batch[1])
        return fault_set(f, "INPUT1: its batch of %u differs from INPUT0's of %u", o->batch[1],
                         o->batch[0]);
    if (o->tail.len)
        return fault_set(f, "%zu bytes of binary data belong to no input", o->tail.len);
    return true;
}

static bool read_output(const json_t *tensor, struct order *o, struct fault *f)
{
    int i = find_name(output_names, tensor);
    if (i < 0)
        return fault_set(f, "outputs: the model 'simple' gives the tensors OUTPUT0 and OUTPUT1");
    for (unsigned k = 0; k < o->output_count; k++)
        if (o->output[k] == (unsigned)i)
            return fault_set(f, "%s is asked for twice", output_names[i]);
    const json_t *parameters = json_object_get(tensor, "parameters");
    const json_t *binary = json_object_get(parameters, "binary_data");
    if (json_object_get(parameters, "classification"))
        return fault_set(f, "%s: classification is not offered here", output_names[i]);
    o->binary_output[o->output_count] = binary ? json_is_true(binary) : o->binary;
    o->output[o->output_count++] = (unsigned)i;
    return true;
}

static bool read_outputs(const json_t *body, struct order *o, struct fault *f)
{
    json_t *outputs = json_object_get(body, "outputs"), *tensor;
    size_t i;
    if (outputs && !json_is_array(outputs))
        return fault_set(f, "outputs must be an array of tensors");
    json_array_foreach (outputs, i, tensor)
        if (!read_output(tensor, o, f))
            return false;
    if (o->output_count == 0)
        for (o->output_count = 0; o->output_count < TENSORS; o->output_count++) {
            o->output[o->output_count] = o->output_count;
            o->binary_output[o->output_count] = o->binary;
        }
    return true;
}

static bool read_order(const json_t *body, struct order *o, struct fault *f)
{
    const json_t *id = json_object_get(body, "id");
    if (id && (!json_is_string(id) || json_string_length(id) > 256))
        return fault_set(f, "id must be a string of at most 256 bytes");
    o->id = json_string_value(id);
    o->binary =
        json_is_true(json_object_get(json_object_get(body, "parameters"), "binary_data_output"));
    return read_inputs(body, o, f) && read_outputs(body, o, f);
}

/* --- Answering --------------------------------------------------------------------------------- */

/* Unsigned arithmetic wraps as a tensor engine's does; the conversion back is two's complement. */
static int32_t sum_or_difference(const struct order *o, unsigned output, size_t i)
{
    uint32_t a = (uint32_t)o->data[0][i], b = (uint32_t)o->data[1][i];
    return (int32_t)(output == 0 ? a + b : a - b);
}

static bool write_output(const struct order *o, unsigned k, struct buf *out)
{
    size_t count = (size_t)o->batch[0] * SIMPLE_WIDTH;
    if (!buf_printf(out, "{\"name\":\"%s\",\"datatype\":\"INT32\",\"shape\":[%u,%d],",
                    output_names[o->output[k]], o->batch[0], SIMPLE_WIDTH))
        return false;
    if (o->binary_output[k])
        return buf_printf(out, "\"parameters\":{\"binary_data_size\":%zu}}",
                          count * sizeof(int32_t));
    bool ok = buf_text(out, "\"data\":[");
    for (size_t i = 0; ok && i < count; i++)
        ok = buf_printf(out, "%s%d", i ? "," : "", sum_or_difference(o, o->output[k], i));
    return ok && buf_text(out, "]}");
}

static bool write_header(const struct order *o, const char *model_name, struct buf *out)
{
    bool ok = buf_text(out, "{\"model_name\":") && json_text(out, model_name) &&
              buf_text(out, ",\"model_version\":\"1\"");
    if (o->id)
        ok = ok && buf_text(out, ",\"id\":") && json_text(out, o->id);
    ok = ok && buf_text(out, ",\"outputs\":[");
    for (unsigned k = 0; ok && k < o->output_count; k++)
        ok = (k == 0 || buf_text(out, ",")) && write_output(o, k, out);
    return ok && buf_text(out, "]}");
}

static bool write_binary(const struct order *o, unsigned output, struct buf *out)
{
    bool ok = true;
    for (size_t i = 0; ok && i < (size_t)o->batch[0] * SIMPLE_WIDTH; i++) {
        uint32_t word = htole32((uint32_t)sum_or_difference(o, output, i));
        ok = buf_add(out, (const char *)&word, sizeof word);
    }
    return ok;
}

static bool write_answer(const struct order *o, const char *model_name, struct buf *out,
                         size_t *ret_header_len)
{
    bool ok = write_header(o, model_name, out);
    *ret_header_len = out->len;
    for (unsigned k = 0; ok && k < o->output_count; k++)
        ok = !o->binary_output[k] || write_binary(o, o->output[k], out);
    return ok;
}

bool simple_infer(struct span header, struct span tail, const char *model_name, struct buf *out,
                  struct simple_answer *ret, struct fault *fault)
{
    json_t *tree = json_body(header, fault);
    struct order o = { .tail = tail };
    bool ok = tree && read_order(tree, &o, fault);
    if (ok && !write_answer(&o, model_name, out, &ret->header_len))
        ok = fault_no_memory(fault);
    ret->elements = TENSORS * o.batch[0] * SIMPLE_WIDTH;
    json_decref(tree);
    return ok;
}
