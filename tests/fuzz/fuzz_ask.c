/* Any bytes as a body: what is understood must be rewritten into valid JSON that
 * says what we decided, and a second reading must agree. */
#include "conf/catalog.h"
#include "gateway/ask.h"
#include "gateway/rewrite.h"
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const unsigned capabilities[] = { CAP_CHAT,        CAP_EMBEDDINGS, CAP_IMAGES,    CAP_INFER,
                                         CAP_COMPLETIONS, CAP_RERANK,     CAP_MODERATION };
enum { CAPABILITIES = sizeof capabilities / sizeof *capabilities };

static void check(struct span out, int64_t max_out)
{
    json_error_t e;
    json_t *j = json_loadb(out.at, out.len, JSON_ALLOW_NUL, &e);
    if (!j) /* jansson is stricter about a few numbers and depths than the grammar is */
        return;
    const char *model = json_string_value(json_object_get(j, "model"));
    assert(model && strcmp(model, "m") == 0);
    json_t *max = json_object_get(j, "max_tokens");
    assert(!json_is_integer(max) || json_integer_value(max) <= max_out);
    json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *keys[] = { "temperature", NULL };
    static const struct catalog_recipe recipe = {
        .system_json = { "{\"role\":\"system\"}", 17 },
        .params_json = { "\"temperature\":1", 15 },
        .param_keys = keys,
    };
    struct span body = { (const char *)data + 1, size - 1 }, out;
    struct ask ask = { .n = 0 };
    struct ask_error e = { "", "" };
    char *memory = NULL;
    if (size < 2)
        return 0;
    unsigned capability = capabilities[data[0] % CAPABILITIES];
    if (ask_read(body, capability, &ask, &e) != STATUS_OK) {
        assert(*e.message);
        return 0;
    }
    assert(ask.n >= 1 && ask.generated >= (uint64_t)(capability == CAP_IMAGES ? 1 : ask.n));
    const struct rewrite how = { "m", &recipe, 16, ask.stream };
    assert(rewrite_body(body, &ask, &how, &memory, &out) == STATUS_OK);
    check(out, 16);
    free(memory);
    return 0;
}
