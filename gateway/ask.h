/* gateway/ask.h -- what a request's body asks for: read once by a top-level scan.
 *
 * The body itself is never parsed into a tree; the spans found here are what the
 * rewriter splices for the backend.
 */
#ifndef MAAS_ASK_H
#define MAAS_ASK_H
#include "base/jscan.h"
#include "base/span.h"
#include "billing/price.h"
#include <stdbool.h>
#include <stdint.h>

/* Members that mean something to the gateway; all others pass untouched.  Those of chat
 * come first, so that the most common request is not scanned for the rest. */
#define ASK_CHAT_FIELD_MAP(X)                         \
    X(MODEL, "model")                                 \
    X(STREAM, "stream")                               \
    X(STREAM_OPTIONS, "stream_options")               \
    X(MAX_TOKENS, "max_tokens")                       \
    X(MAX_COMPLETION_TOKENS, "max_completion_tokens") \
    X(N, "n")                                         \
    X(MESSAGES, "messages")                           \
    X(TEMPERATURE, "temperature")                     \
    X(TOP_P, "top_p")                                 \
    X(PRESENCE_PENALTY, "presence_penalty")           \
    X(FREQUENCY_PENALTY, "frequency_penalty")         \
    X(SEED, "seed")                                   \
    X(STOP, "stop")                                   \
    X(API_BASE, "api_base")                           \
    X(BASE_URL, "base_url")                           \
    X(API_KEY, "api_key")                             \
    X(CACHE_SALT, "cache_salt")                       \
    X(PRIORITY, "priority")
#define ASK_FIELD_MAP(X)      \
    ASK_CHAT_FIELD_MAP(X)     \
    X(INPUT, "input")         \
    X(PROMPT, "prompt")       \
    X(INPUTS, "inputs")       \
    X(BEST_OF, "best_of")     \
    X(QUERY, "query")         \
    X(DOCUMENTS, "documents") \
    X(STREAM_FORMAT, "stream_format")

enum ask_field {
#define X(NAME, key) ASK_##NAME,
    ASK_FIELD_MAP(X)
#undef X
        ASK_FIELDS,
#define X(NAME, key) +1
    ASK_CHAT_FIELDS = ASK_CHAT_FIELD_MAP(X)
#undef X
};

struct ask {
    struct jfield field[ASK_FIELDS]; /* those that were scanned for have a key */
    char model[256];                 /* unescaped; "" when the body names none */
    bool stream;
    bool include_usage;   /* the client itself asked for the event that carries usage */
    int64_t n;            /* choices or images; >= 1 */
    int64_t max_out;      /* per choice, what the client said; 0: nothing */
    uint64_t generated;   /* answers the model writes: n or best_of, for each prompt */
    uint64_t audio_bytes; /* of the file that is to be heard */
    uint64_t audio_ms;    /* how long it plays, when audio_known */
    bool audio_known;
    struct price_bound most; /* what the body alone bounds; output tokens and time come later */
};

struct ask_error {
    char param[64];
    char message[160];
};

/* OK, BAD_JSON, MISSING_FIELD, BAD_FIELD or UNSUPPORTED_FIELD with the field and a sentence.
 * *ret is zeroed memory. */
MUST_CHECK enum status ask_read(struct span body, unsigned capability, struct ask *ret,
                                struct ask_error *ret_error);

/* Of a body that begins with so many bytes of JSON and goes on with binary tensors, which are not
 * looked at.  The same; BAD_FIELD when the body is shorter. */
MUST_CHECK enum status ask_tensors(struct span body, uint64_t header_len, struct ask *ret,
                                   struct ask_error *ret_error);

/* The same of a form, which is read into *form; BAD_FORM as well.  The spans there lie in `body`. */
struct form;
MUST_CHECK enum status ask_form(struct span body, struct span boundary, unsigned capability,
                                struct form *form, struct ask *ret, struct ask_error *ret_error);

#endif
