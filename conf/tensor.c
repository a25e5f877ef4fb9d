/* conf/tensor.c -- the `tensor:` map of a model, as the JSON that describes it to clients
 * of the Open Inference Protocol. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "conf/draft.h"

enum { TENSORS_MAX = 64, DIMENSIONS_MAX = 16, TENSOR_JSON_MAX = 1 << 20 };

struct tensor_item {
    const char *name;
    unsigned datatype;
    const struct yaml_node *shape;
};
struct tensor_lists {
    const struct yaml_node *inputs, *outputs;
};

#define DATATYPES "BOOL|UINT8|UINT16|UINT32|UINT64|INT8|INT16|INT32|INT64|FP16|BF16|FP32|FP64|BYTES"

/* clang-format off */
const struct conf_key tensor_keys[] = {
    { "inputs", read_node, offsetof(struct tensor_lists, inputs), "a list of tensors",
      1, TENSORS_MAX, true, "what a request brings" },
    { "outputs", read_node, offsetof(struct tensor_lists, outputs), "a list of tensors",
      1, TENSORS_MAX, true, "what an answer brings" },
    { .key = NULL }
};
const struct conf_key tensor_item_keys[] = {
    { "name", read_text, offsetof(struct tensor_item, name), "a name", 1, 128, true,
      "of the tensor" },
    { "datatype", read_choice, offsetof(struct tensor_item, datatype), DATATYPES, 0, 0, true,
      "of its elements" },
    { "shape", read_node, offsetof(struct tensor_item, shape), "a list of numbers",
      1, DIMENSIONS_MAX, true, "its dimensions; -1 is any size" },
    { .key = NULL }
};
/* clang-format on */

static enum status add_shape(struct conf_reader *r, const struct yaml_node *list, struct buf *b)
{
    enum status status = conf_want(r, list, YAML_LIST);
    if (status)
        return status;
    if (list->count < 1 || list->count > DIMENSIONS_MAX)
        return conf_fail(r, list, "has %zu dimensions; expected 1 to %d", list->count,
                         DIMENSIONS_MAX);
    for (const struct yaml_node *n = list->first; n; n = n->next) {
        const char *text;
        uint64_t size = 0;
        status = conf_text(r, n, &text);
        if (status)
            return status;
        bool any = !strcmp(text, "-1");
        if (!any && (!value_number(CONF_COUNT, text, &size) || size < 1 || size > INT32_MAX))
            return conf_fail(r, n, "'%.60s' is not a size; expected 1 to %d, or -1 for any", text,
                             INT32_MAX);
        if (!buf_printf(b, "%s%s", n->at ? "," : "[", any ? "-1" : "") ||
            (!any && !buf_printf(b, "%llu", (unsigned long long)size)))
            return conf_no_memory(r);
    }
    return buf_text(b, "]") ? STATUS_OK : conf_no_memory(r);
}

static enum status add_item(struct conf_reader *r, const struct yaml_node *n, struct buf *b)
{
    struct tensor_item item = { 0 };
    enum status status = conf_walk(r, n, tensor_item_keys, &item);
    if (status)
        return status;
    for (const struct yaml_node *o = n->parent->first; o != n; o = o->next)
        if (!strcmp(yaml_get(o, "name")->text, item.name))
            return conf_fail(r, yaml_get(n, "name"), "'%s' is given twice", item.name);
    if (!buf_text(b, n->at ? ",{\"name\":" : "{\"name\":") || !value_quote(b, item.name) ||
        !buf_printf(b, ",\"datatype\":\"%s\",\"shape\":", yaml_get(n, "datatype")->text))
        return conf_no_memory(r);
    status = add_shape(r, item.shape, b);
    if (!status && !buf_text(b, "}"))
        return conf_no_memory(r);
    return status;
}

static enum status add_items(struct conf_reader *r, const struct yaml_node *list, struct buf *b)
{
    enum status status = conf_want(r, list, YAML_LIST);
    if (status)
        return status;
    if (list->count < 1 || list->count > TENSORS_MAX)
        return conf_fail(r, list, "has %zu tensors; expected 1 to %d", list->count, TENSORS_MAX);
    for (const struct yaml_node *n = list->first; !status && n; n = n->next)
        status = add_item(r, n, b);
    return status;
}

READER(read_tensor)
{
    (void)k;
    struct tensor_lists lists = { 0 };
    enum status status = conf_walk(r, value, tensor_keys, &lists);
    if (status)
        return status;
    AUTO(buf_free) struct buf b;
    buf_init(&b, TENSOR_JSON_MAX);
    if (!buf_text(&b, "\"inputs\":["))
        return conf_no_memory(r);
    status = add_items(r, lists.inputs, &b);
    if (!status && !buf_text(&b, "],\"outputs\":["))
        return conf_no_memory(r);
    if (!status)
        status = add_items(r, lists.outputs, &b);
    if (!status && !buf_text(&b, "]}"))
        return conf_no_memory(r);
    if (status)
        return status;
    const char *tail = conf_keep(r, &b);
    *(const char **)field = tail;
    return tail ? STATUS_OK : conf_no_memory(r);
}
