/* backends/refworker/image_order.c -- reading an image generation request. */
#include "backends/refworker/images.h"
#include "backends/refworker/json_text.h"

static bool read_count(struct image_order *o, struct fault *fault)
{
    const json_t *n = json_object_get(o->tree, "n");
    json_int_t count = n && !json_is_null(n) ? json_integer_value(n) : 1;
    if (count < 1 || count > IMAGES_MAX)
        return fault_set(fault, "n must be an integer from 1 to %d", IMAGES_MAX);
    o->count = (uint32_t)count;
    return true;
}

static bool read_size(struct image_order *o, struct fault *fault)
{
    static const struct {
        const char *name;
        uint32_t side;
    } sizes[] = { { "256x256", 256 },
                  { "512x512", 512 },
                  { "1024x1024", 1024 },
                  { "2048x2048", 2048 },
                  { "4096x4096", IMAGE_SIDE_MAX },
                  { "auto", IMAGE_SIZE_DEFAULT } };
    const json_t *size = json_object_get(o->tree, "size");
    o->size = IMAGE_SIZE_DEFAULT;
    if (!size || json_is_null(size))
        return true;
    const char *name = json_is_string(size) ? json_string_value(size) : "";
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (strcmp(name, sizes[i].name) == 0) {
            o->size = sizes[i].side;
            return true;
        }
    return fault_set(fault, "size must be '256x256', '512x512', '1024x1024', '2048x2048', "
                            "'4096x4096' or 'auto'");
}

/* The field may be absent, null or the one value that is possible here. */
static bool is_only(const struct image_order *o, const char *key, const char *value)
{
    const json_t *field = json_object_get(o->tree, key);
    const char *text = json_string_value(field);
    return !field || json_is_null(field) || (text && strcmp(text, value) == 0);
}

static bool read_formats(const struct image_order *o, struct fault *fault)
{
    if (!is_only(o, "response_format", "b64_json"))
        return fault_set(fault,
                         "response_format must be 'b64_json': this worker keeps no files, so "
                         "there is nothing a URL could point to");
    if (!is_only(o, "output_format", "png"))
        return fault_set(fault, "output_format must be 'png'");
    return true;
}

bool image_order_read(struct span body, struct image_order *ret, struct fault *fault)
{
    *ret = (struct image_order){ .tree = json_body(body, fault) };
    if (!ret->tree)
        return false;
    const json_t *prompt = json_object_get(ret->tree, "prompt");
    if (!json_is_string(prompt) || json_string_length(prompt) == 0)
        return fault_set(fault, "prompt must be a string that is not empty");
    ret->prompt = json_span(prompt);
    return read_count(ret, fault) && read_size(ret, fault) && read_formats(ret, fault);
}
