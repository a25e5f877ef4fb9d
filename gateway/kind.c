/* gateway/kind.c -- see kind.h. */
#include "gateway/kind.h"
#include <assert.h>

enum { COMPLETION_TOKENS = 16 }; /* OpenAI's default for completions, which clients count on */

#define CHAT_CHUNK "chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{}"
#define TEXT_CHUNK "text_completion\",\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null"

/* clang-format off */
#define MB    (UINT64_C(1) << 20)
#define SOUND (KIND_SILENT | KIND_ANY)
static const struct kind kinds[] = { /* in the order of the bits */
    /* capability        body          most     read             output        default            traits                    keep-alive */
    { CAP_CHAT,          BODY_JSON,    0,       ask_chat,        OUTPUT_ASKED, 0,                 KIND_RATED | KIND_RECIPE, CHAT_CHUNK },
    { CAP_EMBEDDINGS,    BODY_JSON,    8 * MB,  ask_embeddings,  OUTPUT_NONE,  0,                 KIND_RATED,               NULL },
    { CAP_IMAGES,        BODY_JSON,    MB,      ask_images,      OUTPUT_NONE,  0,                 0,                        NULL },
    { CAP_INFER,         BODY_TENSORS, 0,       ask_infer,       OUTPUT_NONE,  0,                 KIND_ANY,                 NULL },
    { CAP_COMPLETIONS,   BODY_JSON,    8 * MB,  ask_completions, OUTPUT_ASKED, COMPLETION_TOKENS, KIND_RATED | KIND_RECIPE, TEXT_CHUNK },
    { CAP_SPEECH,        BODY_JSON,    MB / 4,  ask_speech,      OUTPUT_MODEL, 0,                 SOUND | KIND_FLOWS,       NULL },
    { CAP_TRANSCRIPTION, BODY_FORM,    0,       NULL,            OUTPUT_MODEL, 0,                 SOUND,                    NULL },
    { CAP_TRANSLATION,   BODY_FORM,    0,       NULL,            OUTPUT_MODEL, 0,                 SOUND,                    NULL },
    { CAP_RERANK,        BODY_JSON,    16 * MB, ask_rerank,      OUTPUT_NONE,  0,                 KIND_RATED | KIND_SILENT, NULL },
    { CAP_MODERATION,    BODY_JSON,    8 * MB,  ask_moderation,  OUTPUT_NONE,  0,                 KIND_RATED | KIND_SILENT, NULL },
};
/* clang-format on */

const struct kind *kind_of(unsigned capability)
{
    unsigned bit = (unsigned)__builtin_ctz(capability);
    assert(bit < sizeof kinds / sizeof *kinds && kinds[bit].capability == capability);
    return &kinds[bit];
}
