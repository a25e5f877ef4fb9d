/* tests/unit/test_catalog.c -- models: every way in which an entry can be wrong, what is
 * inherited, what a name means under a prefix, and the JSON that requests are spliced with. */
#include "conf/catalog.h"
#include "base/digest.h"
#include "conf/conf.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <jansson.h>

#define WORKER "backends:\n  w: {transport: shm, address: /run/w.sock}\n"
#define MODELS WORKER "models:\n"
#define ROUTES "    routes: [{backend: w, model: m}]\n"
#define FREE   "    price: {input_uncached_tokens: 0, output_text_tokens: 0}\n"
#define CAPABILITIES                                                                    \
    "chat|embeddings|images|infer|completions|speech|transcription|translation|rerank|" \
    "moderation"
#define CHAT "  base/chat:\n    capabilities: [chat]\n" ROUTES FREE

/* clang-format off */
static const struct {
    const char *label, *text, *error;
} bad_models[] = {
    { "models is a list", "models: [a]\n",
      "t.yaml:1:1: models: expected a map of keys, not a list" },
    { "id level", MODELS "  other/chat: {}\n",
      "t.yaml:4:3: models: 'other/chat' is not a model id; expected base/NAME, "
      "domain/DOMAIN/NAME, industry/INDUSTRY/NAME or industry/INDUSTRY/SCENE/NAME" },
    { "id without level", MODELS "  chat: {}\n",
      "t.yaml:4:3: models: 'chat' is not a model id; expected base/NAME, domain/DOMAIN/NAME, "
      "industry/INDUSTRY/NAME or industry/INDUSTRY/SCENE/NAME" },
    { "id too deep in base", MODELS "  base/a/b: {}\n",
      "t.yaml:4:3: models: 'base/a/b' is not a model id; expected base/NAME, "
      "domain/DOMAIN/NAME, industry/INDUSTRY/NAME or industry/INDUSTRY/SCENE/NAME" },
    { "id upper case", MODELS "  base/Chat: {}\n",
      "t.yaml:4:3: models: 'base/Chat' is not a model id: each part is "
      "[a-z0-9][a-z0-9._-]{0,62}" },
    { "id empty part", MODELS "  base//chat: {}\n",
      "t.yaml:4:3: models: 'base//chat' is not a model id: each part is "
      "[a-z0-9][a-z0-9._-]{0,62}" },
    { "id dots", MODELS "  base/..: {}\n",
      "t.yaml:4:3: models: 'base/..' is not a model id: each part is "
      "[a-z0-9][a-z0-9._-]{0,62}" },
    { "id reserved", MODELS "  industry/v1/chat: {}\n",
      "t.yaml:4:3: models: 'industry/v1/chat' is not a model id: 'v1' is a reserved word" },
    { "id reserved model", MODELS "  base/rerank: {}\n",
      "t.yaml:4:3: models: 'base/rerank' is not a model id: 'rerank' is a reserved word" },
    { "id segment too long",
      MODELS "  base/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: {}\n",
      "t.yaml:4:3: models: "
      "'base/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' is not a "
      "model id: each part is [a-z0-9][a-z0-9._-]{0,62}" },
    { "model has no keys", MODELS "  base/chat:\n",
      "t.yaml:4:13: models.base/chat: has no value; expected a map of keys" },
    { "model key", MODELS "  base/chat: {capabilites: [chat]}\n",
      "t.yaml:4:15: models.base/chat: unknown key 'capabilites'; did you mean 'capabilities'?" },
    { "no capabilities", MODELS "  base/chat:\n" ROUTES,
      "t.yaml:4:3: models.base/chat: 'capabilities' is missing; expected a list of "
      CAPABILITIES },
    { "empty capabilities", MODELS "  base/chat: {capabilities: []}\n",
      "t.yaml:4:15: models.base/chat.capabilities: is empty; expected some of "
      CAPABILITIES },
    { "capability unknown", MODELS "  base/chat: {capabilities: [chat, singing]}\n",
      "t.yaml:4:36: models.base/chat.capabilities[1]: 'singing' is not one of "
      CAPABILITIES },
    { "capability twice", MODELS "  base/chat: {capabilities: [chat, chat]}\n",
      "t.yaml:4:36: models.base/chat.capabilities[1]: 'chat' is given twice" },
    { "capabilities as text", MODELS "  base/chat: {capabilities: chat}\n",
      "t.yaml:4:29: models.base/chat.capabilities: expected a list, not a single value" },
    { "created", MODELS "  base/chat: {created: 2026-02-29}\n",
      "t.yaml:4:24: models.base/chat.created: '2026-02-29' is not a date such as 2026-11-24" },
    { "created as a number", MODELS "  base/chat: {created: 1768435200}\n",
      "t.yaml:4:24: models.base/chat.created: '1768435200' is not a date such as 2026-11-24" },
    { "default not a bool", MODELS "  base/chat: {default: yes}\n",
      "t.yaml:4:24: models.base/chat.default: 'yes' is not one of true|false" },
    { "life", MODELS "  base/chat: {life: beta}\n",
      "t.yaml:4:21: models.base/chat.life: 'beta' is not one of "
      "preview|ga|deprecated|retired|unavailable" },
    { "unavailable without a note", MODELS CHAT "    life: unavailable\n",
      "t.yaml:8:11: models.base/chat.life: needs a 'life_note' that says why" },
    { "note without effect", MODELS CHAT "    life_note: soon\n",
      "t.yaml:8:5: models.base/chat: 'life_note' has no effect: the model's life is ga or "
      "preview" },
    { "no routes", MODELS "  base/chat: {capabilities: [chat]}\n",
      "t.yaml:4:3: models.base/chat: has neither 'routes' nor 'parent'" },
    { "empty routes", MODELS "  base/chat: {capabilities: [chat], routes: []}\n",
      "t.yaml:4:37: models.base/chat.routes: has 0 routes; expected 1 to 128" },
    { "route backend unknown",
      MODELS "  base/chat:\n    routes:\n      - {backend: v, model: m}\n",
      "t.yaml:6:19: models.base/chat.routes[0].backend: there is no backend 'v'" },
    { "route without model", MODELS "  base/chat:\n    routes:\n      - {backend: w}\n",
      "t.yaml:6:9: models.base/chat.routes[0]: 'model' is missing; expected a name" },
    { "route weight",
      MODELS "  base/chat:\n    routes:\n      - {backend: w, model: m, weight: 0}\n",
      "t.yaml:6:40: models.base/chat.routes[0].weight: '0' is not a number from 1 to 1000" },
    { "route twice",
      MODELS "  base/chat:\n    routes:\n      - {backend: w, model: m}\n      - {model: m, "
      "backend: w}\n",
      "t.yaml:7:9: models.base/chat.routes[1]: is the same as routes[0]; use weight" },
    { "route context",
      MODELS "  base/chat:\n    routes:\n      - {backend: w, model: m, context_min: 9, "
      "context_max: 8}\n",
      "t.yaml:6:45: models.base/chat.routes[0].context_min: 9 is more than context_max" },
    { "route cost",
      MODELS "  base/chat:\n    routes:\n      - {backend: w, model: m, cost_max: 0}\n",
      "t.yaml:6:42: models.base/chat.routes[0].cost_max: '0' is not an amount such as 0.05" },
    { "affinity with one route", MODELS CHAT "    affinity: prefix\n",
      "t.yaml:8:5: models.base/chat: 'affinity' has no effect: the model has one route" },
    { "context without effect",
      MODELS "  base/x:\n    capabilities: [infer]\n    context_length: 5\n" ROUTES,
      "t.yaml:6:5: models.base/x: 'context_length' has no effect: the model has only images "
      "or infer" },
    { "images_max without effect", MODELS CHAT "    images_max: 5\n",
      "t.yaml:8:5: models.base/chat: 'images_max' has no effect: the model has no images" },
    { "video_ms_max without a price", MODELS CHAT "    video_ms_max: 5000\n",
      "t.yaml:8:5: models.base/chat: 'video_ms_max' has no effect: 'video_ms' has no price" },
    { "tensor without effect", MODELS CHAT "    tensor: {inputs: [], outputs: []}\n",
      "t.yaml:8:14: models.base/chat.tensor.inputs: has 0 tensors; expected 1 to 64" },
    { "output above context",
      MODELS CHAT "    context_length: 1000\n    max_output_tokens: 1001\n",
      "t.yaml:9:24: models.base/chat.max_output_tokens: 1001 is more than 1000, all that is "
      "possible" },
    { "default output above output",
      MODELS CHAT "    max_output_tokens: 10\n    default_output_tokens: 11\n",
      "t.yaml:9:28: models.base/chat.default_output_tokens: 11 is more than 10, all that is "
      "possible" },
    { "parent unknown", MODELS "  base/chat: {parent: base/talk}\n",
      "t.yaml:4:23: models.base/chat.parent: there is no model 'base/talk'" },
    { "parent itself", MODELS "  base/chat: {parent: base/chat}\n",
      "t.yaml:4:23: models.base/chat.parent: the model is its own ancestor" },
    { "parents in a circle", MODELS "  base/a: {parent: base/b}\n  base/b: {parent: base/a}\n",
      "t.yaml:4:20: models.base/a.parent: the model is its own ancestor" },
    { "too many parents",
      MODELS CHAT "  base/p0: {parent: base/chat}\n  base/p1: {parent: base/p0}\n  base/p2: "
      "{parent: base/p1}\n  base/p3: {parent: base/p2}\n  base/p4: {parent: base/p3}\n",
      "t.yaml:12:21: models.base/p4.parent: more than 4 parents in a row" },
    { "fallback without parent", MODELS CHAT "    fallback_to_parent: true\n",
      "t.yaml:8:5: models.base/chat: 'fallback_to_parent' has no effect: the model has no "
      "'parent'" },
    { "fallback without routes",
      MODELS CHAT "  base/b: {parent: base/chat, fallback_to_parent: true}\n",
      "t.yaml:8:31: models.base/b: 'fallback_to_parent' has no effect: without 'routes' the "
      "model already runs on its parent's" },
    { "capability the parent lacks",
      MODELS CHAT "  base/b: {parent: base/chat, capabilities: [images]}\n",
      "t.yaml:8:3: models.base/b: has a capability that its parent base/chat lacks" },
    { "context above the parent's",
      MODELS CHAT "  base/b: {parent: base/chat, context_length: 200000}\n",
      "t.yaml:8:47: models.base/b.context_length: 200000 is more than 131072, all that is "
      "possible" },
    { "short name twice",
      MODELS CHAT "  industry/f/risk: {parent: base/chat}\n  industry/f/a/risk: {parent: "
      "base/chat}\n",
      "t.yaml:8:3: models.industry/f/risk: its short name 'risk' is also that of "
      "industry/f/a/risk" },
    { "two defaults",
      MODELS CHAT "  industry/f/a: {parent: base/chat, default: true}\n  industry/f/s/b: "
      "{parent: base/chat, default: true}\n",
      "t.yaml:9:48: models.industry/f/s/b.default: industry/f/a is already the default here" },
    { "recipe empty", MODELS CHAT "    recipe: {}\n",
      "t.yaml:8:5: models.base/chat.recipe: has no effect: it has neither 'system' nor "
      "'params'" },
    { "recipe key", MODELS CHAT "    recipe: {prompt: x}\n",
      "t.yaml:8:14: models.base/chat.recipe: unknown key 'prompt'; expected one of system, "
      "params" },
    { "recipe system empty", MODELS CHAT "    recipe: {system: \"\"}\n",
      "t.yaml:8:22: models.base/chat.recipe.system: is 0 bytes long; expected 1 to 65536" },
    { "recipe without chat",
      MODELS "  base/x:\n    capabilities: [infer]\n    recipe: {system: x}\n" ROUTES,
      "t.yaml:6:5: models.base/x: 'recipe' has no effect: the model has no chat" },
    { "param unknown", MODELS CHAT "    recipe: {params: {top_k: 4}}\n",
      "t.yaml:8:23: models.base/chat.recipe.params: unknown parameter 'top_k'; did you mean "
      "'top_p'?" },
    { "param range", MODELS CHAT "    recipe: {params: {temperature: 2.1}}\n",
      "t.yaml:8:36: models.base/chat.recipe.params.temperature: '2.1' is not a number from 0 "
      "to 2" },
    { "param exponent", MODELS CHAT "    recipe: {params: {temperature: 1e0}}\n",
      "t.yaml:8:36: models.base/chat.recipe.params.temperature: '1e0' is not a number from 0 "
      "to 2" },
    { "param octal", MODELS CHAT "    recipe: {params: {temperature: 01}}\n",
      "t.yaml:8:36: models.base/chat.recipe.params.temperature: '01' is not a number from 0 "
      "to 2" },
    { "param not whole", MODELS CHAT "    recipe: {params: {seed: 1.0}}\n",
      "t.yaml:8:29: models.base/chat.recipe.params.seed: '1.0' is not a whole number of at "
      "most 12 digits" },
    { "param too many tokens", MODELS CHAT "    recipe: {params: {max_tokens: 9000}}\n",
      "t.yaml:8:35: models.base/chat.recipe.params.max_tokens: 9000 is more than "
      "max_output_tokens, which is 8192" },
    { "param stop list", MODELS CHAT "    recipe: {params: {stop: [a]}}\n",
      "t.yaml:8:23: models.base/chat.recipe.params.stop: expected a single value, not a list" },
    { "no price", MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES,
      "t.yaml:4:3: models.base/chat: chat needs a price for 'input_uncached_tokens'; for "
      "nothing, write 0" },
    { "price of output missing",
      MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES "    price: {input_uncached_to"
      "kens: 1}\n",
      "t.yaml:7:5: models.base/chat.price: chat needs a price for 'output_text_tokens'; for "
      "nothing, write 0" },
    { "price of images missing",
      MODELS "  base/x:\n    capabilities: [images]\n" ROUTES "    price: {input_uncached_tok"
      "ens: 1}\n",
      "t.yaml:7:5: models.base/x.price: images needs a price for 'images' or 'requests'; for "
      "nothing, write 0" },
    { "price of infer missing",
      MODELS "  base/x:\n    capabilities: [infer]\n" ROUTES "    price: {}\n",
      "t.yaml:7:5: models.base/x.price: infer needs a price for 'requests', 'compute_ms' or "
      "'tensor_elements'; for nothing, write 0" },
    { "price of completions missing",
      MODELS "  base/x:\n    capabilities: [completions]\n" ROUTES
             "    price: {input_uncached_tokens: 1}\n",
      "t.yaml:7:5: models.base/x.price: completions needs a price for 'output_text_tokens'; for "
      "nothing, write 0" },
    { "price of speech missing",
      MODELS "  base/x:\n    capabilities: [speech]\n" ROUTES "    price: {compute_ms: 1}\n",
      "t.yaml:7:5: models.base/x.price: speech needs a price for 'characters', "
      "'input_uncached_tokens' or 'requests'; for nothing, write 0" },
    { "price of transcription missing",
      MODELS "  base/x:\n    capabilities: [transcription]\n" ROUTES,
      "t.yaml:4:3: models.base/x: transcription needs a price for 'audio_ms', "
      "'input_uncached_tokens' or 'requests'; for nothing, write 0" },
    { "price of translation missing",
      MODELS "  base/x:\n    capabilities: [translation]\n" ROUTES,
      "t.yaml:4:3: models.base/x: translation needs a price for 'audio_ms', "
      "'input_uncached_tokens' or 'requests'; for nothing, write 0" },
    { "price of rerank missing", MODELS "  base/x:\n    capabilities: [rerank]\n" ROUTES,
      "t.yaml:4:3: models.base/x: rerank needs a price for 'input_uncached_tokens' or 'requests'; "
      "for nothing, write 0" },
    { "price of moderation missing", MODELS "  base/x:\n    capabilities: [moderation]\n" ROUTES,
      "t.yaml:4:3: models.base/x: moderation needs a price for 'input_uncached_tokens' or "
      "'requests'; for nothing, write 0" },
    { "price of characters without effect",
      MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES "    price: {characters: 1}\n",
      "t.yaml:7:13: models.base/chat.price: a price of 'characters' has no effect: the model "
      "cannot report it" },
    { "price meter unknown",
      MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES "    price: {output_tokens: "
      "1}\n",
      "t.yaml:7:13: models.base/chat.price: unknown meter 'output_tokens'; did you mean "
      "'output_text_tokens'?" },
    { "price without effect",
      MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES "    price: {images: 1}\n",
      "t.yaml:7:13: models.base/chat.price: a price of 'images' has no effect: the model "
      "cannot report it" },
    { "price not a price",
      MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES "    price:\n      "
      "output_text_tokens: abc\n",
      "t.yaml:8:27: models.base/chat.price.output_text_tokens: 'abc' is not a price; "
      "expected e.g. '0.40/1M'" },
    { "price by zero units",
      MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES "    price:\n      "
      "output_text_tokens: 1/0\n",
      "t.yaml:8:27: models.base/chat.price.output_text_tokens: '1/0' is not a price; "
      "expected e.g. '0.40/1M'" },
    { "price too fine",
      MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES "    price:\n      "
      "output_text_tokens: 0.00000000001\n",
      "t.yaml:8:27: models.base/chat.price.output_text_tokens: '0.00000000001' is not a "
      "price; expected e.g. '0.40/1M'" },
    { "price as a list",
      MODELS "  base/chat:\n    capabilities: [chat]\n" ROUTES "    price: [1]\n",
      "t.yaml:7:5: models.base/chat.price: expected a map of keys, not a list" },
    { "tensor outputs missing", MODELS "  base/x:\n    tensor: {inputs: []}\n",
      "t.yaml:5:5: models.base/x.tensor: 'outputs' is missing; expected a list of tensors" },
    { "tensor inputs empty", MODELS "  base/x:\n    tensor: {inputs: [], outputs: []}\n",
      "t.yaml:5:14: models.base/x.tensor.inputs: has 0 tensors; expected 1 to 64" },
    { "tensor datatype",
      MODELS "  base/x:\n    tensor: {inputs: [{name: a, datatype: FLOAT, shape: [1]}], "
      "outputs: []}\n",
      "t.yaml:5:43: models.base/x.tensor.inputs[0].datatype: 'FLOAT' is not one of "
      "BOOL|UINT8|UINT16|UINT32|UINT64|INT8|INT16|INT32|INT64|FP16|BF16|FP32|FP64|BYTES" },
    { "tensor shape",
      MODELS "  base/x:\n    tensor: {inputs: [{name: a, datatype: FP32, shape: [0]}], "
      "outputs: []}\n",
      "t.yaml:5:57: models.base/x.tensor.inputs[0].shape[0]: '0' is not a size; expected 1 "
      "to 2147483647, or -1 for any" },
    { "tensor name twice",
      MODELS "  base/x:\n    tensor: {inputs: [{name: a, datatype: FP32, shape: [1]}, {name: "
      "a, datatype: FP32, shape: [1]}], outputs: []}\n",
      "t.yaml:5:69: models.base/x.tensor.inputs[1].name: 'a' is given twice" },
};
/* clang-format on */

START_TEST(test_bad_model)
{
    struct conf *untouched = NULL;
    char err[CONF_ERROR_BYTES] = "";
    const char *text = bad_models[_i].text;
    ck_assert_msg(conf_parse("t.yaml", text, strlen(text), &untouched, err) == STATUS_BAD_FIELD,
                  "%s: accepted", bad_models[_i].label);
    ck_assert_str_eq(err, bad_models[_i].error);
    ck_assert_ptr_null(untouched);
}
END_TEST

static struct conf *parsed(const char *text)
{
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "";
    enum status status = conf_parse("t.yaml", text, strlen(text), &c, err);
    ck_assert_msg(status == STATUS_OK, "%s", err);
    return c;
}

static const struct catalog_scope whole = { .whole = true };

static const struct catalog_model *model(const struct conf *c, const char *id)
{
    const struct catalog_model *m =
        catalog_find(c->catalog, &whole, (struct span){ id, strlen(id) });
    ck_assert_msg(m != NULL, "%s", id);
    return m;
}

/* In no order, with neighbours that only begin alike. */
static const char many[] =
    MODELS CHAT "  industry/mining/gas/warning: {parent: base/chat}\n"
                "  base/chat-mini: {parent: base/chat}\n"
                "  industry/finance/risk: {parent: base/chat}\n"
                "  industry/finance/audit: {parent: base/chat, default: true}\n"
                "  industry/finance-x/risk: {parent: base/chat}\n"
                "  industry/mining/gas/forecast: {parent: base/chat}\n"
                "  industry/mining/gas-2/forecast2: {parent: base/chat}\n"
                "  industry/weather/rain: {parent: base/chat}\n"
                "  domain/cv/look: {parent: base/chat}\n"
                "  domain/cv/vectors: {capabilities: [embeddings], default: true, price: "
                "{input_uncached_tokens: 0}, routes: [{backend: w, model: e}]}\n"
                "  domain/code/review: {parent: base/chat}\n"
                "  domain/code/write: {parent: base/chat}\n"
                "  domain/law/review: {parent: base/chat}\n";

static const struct {
    const char *label;
    int level; /* -1: no prefix */
    const char *segment, *name, *found;
} finds[] = {
    { "full id", -1, "", "base/chat", "base/chat" },
    { "longer id", -1, "", "base/chat-mini", "base/chat-mini" },
    { "beginning of an id", -1, "", "base/cha", NULL },
    { "more than an id", -1, "", "base/chatter", NULL },
    { "short name without a prefix", -1, "", "chat", NULL },
    { "nothing without a prefix", -1, "", "", NULL },
    { "after the last", -1, "", "zzz", NULL },
    { "short in base", LEVEL_BASE, "", "chat", "base/chat" },
    { "full in base", LEVEL_BASE, "", "base/chat", "base/chat" },
    { "other level in base", LEVEL_BASE, "", "domain/code/review", NULL },
    { "nothing in base: two and no default", LEVEL_BASE, "", "", NULL },
    { "short in a domain", LEVEL_DOMAIN, "code", "review", "domain/code/review" },
    { "same short name elsewhere", LEVEL_DOMAIN, "law", "review", "domain/law/review" },
    { "the only one", LEVEL_DOMAIN, "law", "", "domain/law/review" },
    { "the only one that chats, no default", LEVEL_DOMAIN, "cv", "", "domain/cv/look" },
    { "two and no default", LEVEL_DOMAIN, "code", "", NULL },
    { "short name of two domains", LEVEL_DOMAIN, "", "review", NULL },
    { "short name of one domain", LEVEL_DOMAIN, "", "write", "domain/code/write" },
    { "relative id", LEVEL_DOMAIN, "", "law/review", "domain/law/review" },
    { "no such domain", LEVEL_DOMAIN, "lawyer", "review", NULL },
    { "beginning of a domain", LEVEL_DOMAIN, "la", "review", NULL },
    { "default of an industry", LEVEL_INDUSTRY, "finance", "", "industry/finance/audit" },
    { "short in an industry", LEVEL_INDUSTRY, "finance", "risk", "industry/finance/risk" },
    { "industry that begins alike", LEVEL_INDUSTRY, "finance-x", "", "industry/finance-x/risk" },
    { "other industry's full id", LEVEL_INDUSTRY, "finance", "industry/weather/rain", NULL },
    { "scene by short name", LEVEL_INDUSTRY, "mining", "warning", "industry/mining/gas/warning" },
    { "scene by relative id", LEVEL_INDUSTRY, "mining", "gas/warning",
      "industry/mining/gas/warning" },
    { "prefix of a scene", LEVEL_SCENE, "mining/gas", "forecast", "industry/mining/gas/forecast" },
    { "neighbour of a scene", LEVEL_SCENE, "mining/gas", "forecast2", NULL },
    { "prefix that is a model", LEVEL_SCENE, "mining/gas/warning", "",
      "industry/mining/gas/warning" },
    { "one default in all industries", LEVEL_INDUSTRY, "", "", "industry/finance/audit" },
};

START_TEST(test_find)
{
    struct conf *c = parsed(many);
    struct catalog_scope scope = { .whole = finds[_i].level < 0, .does = CAP_CHAT };
    if (!scope.whole)
        scope.level = (enum level)finds[_i].level;
    scope.segment = (struct span){ finds[_i].segment, strlen(finds[_i].segment) };
    const struct catalog_model *m =
        catalog_find(c->catalog, &scope, (struct span){ finds[_i].name, strlen(finds[_i].name) });
    ck_assert_msg((m != NULL) == (finds[_i].found != NULL), "%s: %s", finds[_i].label,
                  m ? m->id : "not found");
    if (m) {
        ck_assert_str_eq(m->id, finds[_i].found);
        ck_assert(catalog_in_scope(&scope, m));
    }
    conf_free(c);
}
END_TEST

START_TEST(test_find_hostile_names)
{
    struct conf *c = parsed(many);
    static char name[2000];
    memset(name, 'a', sizeof name);
    struct catalog_scope scope = { .level = LEVEL_INDUSTRY, .segment = { name, 300 } };
    ck_assert_ptr_null(catalog_find(c->catalog, &scope, (struct span){ name, sizeof name }));
    ck_assert_ptr_null(catalog_find(c->catalog, &scope, (struct span){ NULL, 0 }));
    ck_assert_ptr_null(catalog_find(c->catalog, &whole, SPAN("base/chat\0")));
    conf_free(c);
}
END_TEST

START_TEST(test_order_levels_and_names)
{
    struct conf *c = parsed(many);
    for (size_t i = 0; i < c->catalog->model_count; i++) {
        ck_assert_uint_eq(c->catalog->models[i].index, i);
        ck_assert(!i || strcmp(c->catalog->models[i - 1].id, c->catalog->models[i].id) < 0);
    }
    const struct catalog_model *m = model(c, "industry/mining/gas/warning");
    ck_assert_int_eq(m->level, LEVEL_SCENE);
    ck_assert_str_eq(m->industry, "mining");
    ck_assert_str_eq(m->domain, "");
    ck_assert_str_eq(m->short_name, "warning");
    ck_assert_int_eq(model(c, "industry/finance/risk")->level, LEVEL_INDUSTRY);
    ck_assert_str_eq(model(c, "domain/code/review")->domain, "code");
    ck_assert_str_eq(level_name(LEVEL_SCENE), "scene");
    conf_free(c);
}
END_TEST

/* In the order of their priority, then of the file, with sums by rung. */
START_TEST(test_routes)
{
    struct conf *c = parsed(
        "backends:\n  v: {transport: shm, address: /v}\n  w: {transport: shm, address: /w}\n"
        "models:\n  base/a:\n    capabilities: [chat]\n    affinity: prefix\n"
        "    price: {input_uncached_tokens: 2, output_text_tokens: 3}\n    routes:\n"
        "      - {backend: w, model: x, priority: 2, weight: 7}\n"
        "      - {backend: w, model: y, weight: 3, context_max: 100, cost_max: 0.5}\n"
        "      - {backend: v, model: y, weight: 4}\n"
        "  industry/f/b: {parent: base/a}\n  industry/f/c: {parent: base/a, affinity: none}\n");
    const struct catalog_model *a = model(c, "base/a");
    static const struct {
        const char *backend;
        uint32_t sum, end;
    } expect[] = { { "w", 3, 2 }, { "v", 7, 2 }, { "w", 7, 3 } };
    for (int i = 0; i < 3; i++) {
        ck_assert_str_eq(a->routes[i].backend->name, expect[i].backend);
        ck_assert_uint_eq(a->routes[i].weight_sum, expect[i].sum);
        ck_assert_uint_eq(a->routes[i].rung_end, expect[i].end);
        ck_assert_uint_ne(a->routes[i].identity, a->routes[(i + 1) % 3].identity);
    }
    ck_assert(a->conditions && a->routes[0].context_max == 100);
    ck_assert_int_eq(a->routes[0].cost_max.atoms, 5000000000);
    const struct catalog_model *b = model(c, "industry/f/b");
    ck_assert(b->conditions && b->affinity == AFFINITY_PREFIX);
    ck_assert_int_eq(model(c, "industry/f/c")->affinity, AFFINITY_NONE);
    conf_free(c);
}
END_TEST

START_TEST(test_inheritance)
{
    struct conf *c =
        parsed("connect_timeout_ms: 3s\n" MODELS
               "  base/a:\n    capabilities: [chat, embeddings]\n    context_length: 1000\n"
               "    max_output_tokens: 100\n    recipe: {system: a}\n    life: preview\n" ROUTES
               "    price: {input_uncached_tokens: 2, input_cached_tokens: 1, "
               "output_text_tokens: 3}\n"
               "  industry/f/b: {parent: base/a, max_output_tokens: 50, capabilities: [chat]}\n"
               "  industry/f/s/c:\n    parent: industry/f/b\n    price: {requests: 1, "
               "input_uncached_tokens: 5, output_text_tokens: 0}\n"
               "  base/d:\n    parent: base/a\n    fallback_to_parent: true\n"
               "    context_length: 4000\n    routes: [{backend: w, model: d}]\n");
    const struct catalog_model *a = model(c, "base/a"), *b = model(c, "industry/f/b");
    const struct catalog_model *s = model(c, "industry/f/s/c"), *d = model(c, "base/d");
    ck_assert_ptr_eq(b->parent, a);
    ck_assert_uint_eq(a->routes[0].backend->connect_timeout_ms, 3000);
    ck_assert_ptr_eq(s->parent, b);
    ck_assert_ptr_eq(s->routes, a->routes);
    ck_assert_uint_eq(s->route_count, 1);
    ck_assert_uint_eq(s->capabilities, CAP_CHAT);
    ck_assert_uint_eq(s->context_length, 1000);
    ck_assert_uint_eq(s->max_output_tokens, 50);
    ck_assert_uint_eq(s->default_output_tokens, 50);
    ck_assert_uint_eq(a->default_output_tokens, 100);
    ck_assert_uint_eq(b->recipe.system_json.len, 0);
    ck_assert_int_eq(b->life, LIFE_GA);
    ck_assert_int_eq(b->price[METER_INPUT_CACHED].atoms, MONEY_ATOMS_PER_UNIT);
    ck_assert_int_eq(b->price[METER_INPUT_CACHE_WRITE].atoms, 2 * MONEY_ATOMS_PER_UNIT);
    ck_assert_int_eq(b->price[METER_OUTPUT_REASONING].atoms, 3 * MONEY_ATOMS_PER_UNIT);
    ck_assert_int_eq(s->price[METER_INPUT_CACHED].atoms, 5 * MONEY_ATOMS_PER_UNIT);
    ck_assert(model_priced(s, METER_OUTPUT_REASONING) && !s->price[METER_OUTPUT_REASONING].atoms);
    ck_assert(model_priced(s, METER_REQUESTS) && !model_priced(b, METER_REQUESTS));
    ck_assert_ptr_ne(d->routes, a->routes);
    ck_assert_str_eq(d->routes[0].model, "d");
    ck_assert(d->fallback_to_parent);
    ck_assert_uint_eq(d->context_length, 4000);
    conf_free(c);
}
END_TEST

START_TEST(test_price_text)
{
    struct conf *c =
        parsed("currency: EUR\nprice_book: spring\n" MODELS
               "  base/b:\n    capabilities: [infer]\n    price: {requests: 3/1k}\n" ROUTES
               "  base/a:\n    capabilities: [embeddings]\n" ROUTES
               "    price: {input_uncached_tokens: 0.40/1M}\n");
    static const char expected[] = "currency EUR book spring\n"
                                   "base/a input_cache_write_tokens 4000000000/1000000\n"
                                   "base/a input_cached_tokens 4000000000/1000000\n"
                                   "base/a input_image_tokens 4000000000/1000000\n"
                                   "base/a input_uncached_tokens 4000000000/1000000\n"
                                   "base/b requests 30000000000/1000\n";
    ck_assert_str_eq(c->catalog->price_text, expected);
    uint8_t sha256[DIGEST_BYTES];
    digest_sha256(expected, strlen(expected), sha256);
    ck_assert_mem_eq(c->catalog->price_sha256, sha256, sizeof sha256);
    conf_free(c);
}
END_TEST

START_TEST(test_recipe_json)
{
    struct conf *c = parsed(MODELS CHAT "    recipe:\n      system: \"a \\\"b\\\" \\\\ \\x01\\n"
                                        "\xe4\xb8\xad \xf0\x9f\x98\x80 \\u2028\"\n"
                                        "      params: {temperature: 0.20, stop: '\"', seed: 7}\n");
    const struct catalog_recipe *r = &model(c, "base/chat")->recipe;
    json_t *message = json_loadb(r->system_json.at, r->system_json.len, 0, NULL);
    ck_assert_ptr_nonnull(message);
    ck_assert_str_eq(json_string_value(json_object_get(message, "role")), "system");
    ck_assert_str_eq(json_string_value(json_object_get(message, "content")),
                     "a \"b\" \\ \x01\n\xe4\xb8\xad \xf0\x9f\x98\x80 \xe2\x80\xa8");
    ck_assert_uint_eq(json_object_size(message), 2);
    json_decref(message);
    ck_assert(span_is(r->params_json, "\"temperature\":0.20,\"stop\":\"\\\"\",\"seed\":7"));
    ck_assert_str_eq(r->param_keys[0], "temperature");
    ck_assert_str_eq(r->param_keys[2], "seed");
    ck_assert_ptr_null(r->param_keys[3]);
    conf_free(c);
}
END_TEST

START_TEST(test_tensor_json)
{
    struct conf *c = parsed(
        MODELS "  base/x:\n    capabilities: [infer]\n    price: {compute_ms: 1}\n" ROUTES
               "    tensor:\n      inputs: [{name: 'a\"b', datatype: FP32, shape: [-1, 016]}]\n"
               "      outputs: [{shape: [1], name: y, datatype: BYTES}]\n"
               "  base/y: {parent: base/x}\n");
    ck_assert_str_eq(model(c, "base/x")->tensor_json,
                     "{\"name\":\"base/x\",\"versions\":[\"1\"],\"platform\":\"maasgate\","
                     "\"inputs\":[{\"name\":\"a\\\"b\",\"datatype\":\"FP32\",\"shape\":[-1,16]}],"
                     "\"outputs\":[{\"name\":\"y\",\"datatype\":\"BYTES\",\"shape\":[1]}]}");
    ck_assert_ptr_nonnull(strstr(model(c, "base/y")->tensor_json, "\"name\":\"base/y\""));
    conf_free(c);
}
END_TEST

START_TEST(test_a_reference_keeps_the_catalog)
{
    struct conf *c = parsed(many);
    struct catalog *kept = catalog_ref(c->catalog);
    conf_free(c);
    ck_assert_ptr_nonnull(catalog_find(kept, &whole, SPAN("base/chat")));
    catalog_unref(kept);
    catalog_unref(NULL);
}
END_TEST

/* Parents that come later in the file, and as many as are allowed in a row. */
START_TEST(test_long_chain)
{
    struct conf *c = parsed(MODELS "  base/a: {parent: base/b}\n  base/b: {parent: base/c}\n"
                                   "  base/c: {parent: base/d}\n  base/d: {parent: base/e}\n"
                                   "  base/e:\n    capabilities: [chat]\n" ROUTES FREE);
    ck_assert_ptr_eq(model(c, "base/a")->routes, model(c, "base/e")->routes);
    ck_assert_uint_eq(model(c, "base/a")->context_length, 131072);
    conf_free(c);
}
END_TEST

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))

Suite *catalog_suite(void)
{
    Suite *s = suite_create("catalog");
    TCase *t = tcase_create("models");
    tcase_add_loop_test(t, test_bad_model, 0, COUNT(bad_models));
    tcase_add_loop_test(t, test_find, 0, COUNT(finds));
    tcase_add_test(t, test_find_hostile_names);
    tcase_add_test(t, test_order_levels_and_names);
    tcase_add_test(t, test_routes);
    tcase_add_test(t, test_inheritance);
    tcase_add_test(t, test_price_text);
    tcase_add_test(t, test_recipe_json);
    tcase_add_test(t, test_tensor_json);
    tcase_add_test(t, test_a_reference_keeps_the_catalog);
    tcase_add_test(t, test_long_chain);
    suite_add_tcase(s, t);
    return s;
}
