/* billing/names.h -- the words of the store that are ours: outcomes, evidence, endpoints. */
#ifndef MAAS_NAMES_H
#define MAAS_NAMES_H
#include <stdbool.h>

/* How a request ended, for the bill (reference/billing.md 3.3).  Stored as text. */
#define OUTCOME_MAP(X)                                                                             \
    X(OK, "ok")                   /* usage reported by the backend */                              \
    X(OK_NOUSAGE, "ok_nousage")   /* finished, no usage: what the gateway itself counted */        \
    X(OK_UNPRICED, "ok_unpriced") /* a reported bucket has no price: billed 0 */                   \
    X(OK_MISMATCH, "ok_mismatch") /* the gateway counts other than the backend: the lesser */      \
    X(OK_PARTIAL, "ok_partial")   /* fewer images or choices than were asked for: those */         \
    X(OK_FILTERED, "ok_filtered") /* ended by the provider's filter: what was reported */          \
    X(BLOCKED_UPSTREAM, "blocked_upstream") /* the provider refused the prompt: 0 */               \
    X(FAILED_PRE, "failed_pre")             /* failed before anything was delivered: 0 */          \
    X(CLIENT_GONE_0, "client_gone_0")       /* client left before the first token: 0 */            \
    X(CLIENT_GONE, "client_gone")           /* client left in the middle: input + what was sent */ \
    X(UPSTREAM_CUT, "upstream_cut") /* backend died in the middle: input + what was sent */        \
    X(BUDGET_CUT, "budget_cut")     /* the budget ended in the middle: input + what was sent */    \
    X(ORPHAN_0, "orphan_0")         /* daemon died, nothing known to be delivered: 0 */            \
    X(ORPHAN, "orphan")             /* daemon died mid-stream: last durable checkpoint */

enum outcome {
#define X(NAME, text) OUTCOME_##NAME,
    OUTCOME_MAP(X)
#undef X
        OUTCOME_COUNT
};
const char *outcome_name(enum outcome o);
/* Void: nothing was delivered and nothing is charged; the request may be sent again. */
bool outcome_is_void(enum outcome o);
bool outcome_name_is_void(const char *name);

enum evidence {
    EVIDENCE_UPSTREAM,
    EVIDENCE_GATEWAY,
    EVIDENCE_ESTIMATE,
    EVIDENCE_NONE,
    EVIDENCE_BOTH
};
const char *evidence_name(enum evidence e);

/* What was called.  Stored as text. */
#define ENDPOINT_MAP(X)                      \
    X(CHAT, "chat.completions")              \
    X(EMBEDDINGS, "embeddings")              \
    X(IMAGES, "images.generations")          \
    X(INFER, "infer")                        \
    X(COMPLETIONS, "completions")            \
    X(SPEECH, "audio.speech")                \
    X(TRANSCRIPTION, "audio.transcriptions") \
    X(TRANSLATION, "audio.translations")     \
    X(RERANK, "rerank")                      \
    X(MODERATION, "moderations")

enum endpoint {
#define X(NAME, text) ENDPOINT_##NAME,
    ENDPOINT_MAP(X)
#undef X
        ENDPOINT_COUNT
};
const char *endpoint_name(enum endpoint e);

#endif
