/* backends/workertest/asks.c -- see asks.h. */
#include "backends/workertest/asks.h"
#include <jansson.h>
#include <stdlib.h>

static bool find_capability(const char *name, size_t len, enum capability *ret)
{
    const char *known;
    for (unsigned bit = 0; (known = capability_name(bit)); bit++)
        if (strlen(known) == len && memcmp(known, name, len) == 0) {
            *ret = (enum capability)(1u << bit);
            return true;
        }
    return false;
}

static bool read_one(struct asks *a, const char *text, size_t len)
{
    struct ask_kind *k = &a->kind[a->count];
    const char *equals = memchr(text, '=', len);
    size_t name = equals ? (size_t)(equals - text) : len, model = equals ? len - name - 1 : 0;
    if (a->count == ASKS_MAX || !find_capability(text, name, &k->capability) || !model ||
        model >= sizeof k->model) {
        fprintf(stderr, "maasgate: '%.*s' is not CAPABILITY=MODEL, such as chat=my-model\n",
                (int)len, text);
        return false;
    }
    if (k->capability & (CAP_SPEECH | CAP_TRANSCRIPTION | CAP_TRANSLATION)) {
        fprintf(stderr, "maasgate: %.*s is not JSON both ways; this program cannot ask for it\n",
                (int)name, text);
        return false;
    }
    memcpy(k->model, equals + 1, model);
    a->count++;
    return true;
}

bool asks_read(struct asks *a, const char *text, struct span body)
{
    *a = (struct asks){ .body = body };
    while (*text) {
        size_t len = strcspn(text, ",");
        if (!read_one(a, text, len))
            return false;
        text += len + (text[len] == ',');
    }
    return a->count > 0;
}

bool asks_streams(const struct ask_kind *k)
{
    return k->capability & (CAP_CHAT | CAP_COMPLETIONS);
}

static json_t *long_text(unsigned words)
{
    static const char *const some[] = { "the ",  "quick ", "brown ", "fox ", "jumps ",
                                        "over ", "a ",     "lazy ",  "dog ", "and " };
    struct buf b;
    buf_init(&b, 16 << 20);
    for (unsigned i = 0; i < words; i++)
        if (!buf_text(&b, some[i % 10]))
            break;
    json_t *text = json_stringn(b.at ? b.at : "", b.len);
    buf_free(&b);
    return text;
}

static json_t *sixteen(const char *name)
{
    json_t *data = json_array();
    for (int i = 0; i < 16; i++)
        json_array_append_new(data, json_integer(i));
    return json_pack("{s:s,s:[i,i],s:s,s:o}", "name", name, "shape", 1, 16, "datatype", "INT32",
                     "data", data);
}

static json_t *plain(enum capability capability, const char *model, unsigned words)
{
    switch (capability) {
    case CAP_CHAT:
        return json_pack("{s:s,s:[{s:s,s:o}]}", "model", model, "messages", "role", "user",
                         "content", long_text(words));
    case CAP_COMPLETIONS:
        return json_pack("{s:s,s:o}", "model", model, "prompt", long_text(words));
    case CAP_IMAGES:
        return json_pack("{s:s,s:o,s:i}", "model", model, "prompt", long_text(words), "n", 1);
    case CAP_RERANK:
        return json_pack("{s:s,s:s,s:[s,s,s]}", "model", model, "query", "a lazy dog", "documents",
                         "a quick fox", "a dog that is lazy", "a brown horse");
    case CAP_INFER: /* Triton's `simple`; any other tensors need a body of their own */
        return json_pack("{s:[o,o]}", "inputs", sixteen("INPUT0"), sixteen("INPUT1"));
    default:
        return json_pack("{s:s,s:o}", "model", model, "input", long_text(words));
    }
}

char *asks_body(const struct asks *a, unsigned kind, bool stream, unsigned words,
                unsigned max_tokens)
{
    const struct ask_kind *k = &a->kind[kind];
    bool own = kind == 0 && a->body.len;
    json_t *json =
        own ? json_loadb(a->body.at, a->body.len, 0, NULL) : plain(k->capability, k->model, words);
    if (asks_streams(k)) {
        json_object_set_new(json, "stream", json_boolean(stream));
        if (max_tokens)
            json_object_set_new(json, "max_tokens", json_integer(max_tokens));
    }
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (!text)
        abort();
    return text;
}
