/* gateway/kind.c -- see kind.h. */
#include "gateway/kind.h"
#include <assert.h>

enum { COMPLETION_TOKENS = 16 }; /* OpenAI's default for completions, which clients count on */

#define CHAT_CHUNK "chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{}"
#define TEXT_CHUNK "text_completion\",\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null"

/* clang-format off */
static const struct kind kinds[] = { /* in the order of the bits */
    /* capability         body          read             output         default            rated  silent any    recipe keep-alive */
    { CAP_CHAT,           BODY_JSON,    ask_chat,        OUTPUT_ASKED,  0,                 true,  false, false, true,  CHAT_CHUNK },
    { CAP_EMBEDDINGS,     BODY_JSON,    ask_embeddings,  OUTPUT_NONE,   0,                 true,  false, false, false, NULL },
    { CAP_IMAGES,         BODY_JSON,    ask_images,      OUTPUT_NONE,   0,                 false, false, false, false, NULL },
    { CAP_INFER,          BODY_TENSORS, ask_infer,       OUTPUT_NONE,   0,                 false, false, true,  false, NULL },
    { CAP_COMPLETIONS,    BODY_JSON,    ask_completions, OUTPUT_ASKED,  COMPLETION_TOKENS, true,  false, false, true,  TEXT_CHUNK },
    { CAP_SPEECH,         BODY_JSON,    NULL,            OUTPUT_NONE,   0,                 false, true,  true,  false, NULL },
    { CAP_TRANSCRIPTION,  BODY_FORM,    NULL,            OUTPUT_NONE,   0,                 false, true,  true,  false, NULL },
    { CAP_TRANSLATION,    BODY_FORM,    NULL,            OUTPUT_NONE,   0,                 false, true,  true,  false, NULL },
    { CAP_RERANK,         BODY_JSON,    ask_rerank,      OUTPUT_NONE,   0,                 true,  true,  false, false, NULL },
    { CAP_MODERATION,     BODY_JSON,    ask_moderation,  OUTPUT_NONE,   0,                 true,  true,  false, false, NULL },
};
/* clang-format on */

const struct kind *kind_of(unsigned capability)
{
    unsigned bit = (unsigned)__builtin_ctz(capability);
    assert(bit < sizeof kinds / sizeof *kinds && kinds[bit].capability == capability);
    return &kinds[bit];
}
