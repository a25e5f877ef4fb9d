/* gateway/kind.c -- see kind.h. */
#include "gateway/kind.h"
#include <assert.h>

enum { COMPLETION_TOKENS = 16 }; /* OpenAI's default for completions, which clients count on */

#define CHAT_CHUNK "chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{}"
#define TEXT_CHUNK "text_completion\",\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null"

/* clang-format off */
static const struct kind kinds[] = { /* in the order of the bits */
    /* capability         read             output         default            rated  silent recipe keep-alive */
    { CAP_CHAT,           ask_chat,        OUTPUT_ASKED,  0,                 true,  false, true,  CHAT_CHUNK },
    { CAP_EMBEDDINGS,     ask_embeddings,  OUTPUT_NONE,   0,                 true,  false, false, NULL },
    { CAP_IMAGES,         ask_images,      OUTPUT_NONE,   0,                 false, false, false, NULL },
    { CAP_INFER,          ask_infer,       OUTPUT_NONE,   0,                 false, false, false, NULL },
    { CAP_COMPLETIONS,    ask_completions, OUTPUT_ASKED,  COMPLETION_TOKENS, true,  false, true,  TEXT_CHUNK },
    { CAP_SPEECH,         NULL,            OUTPUT_NONE,   0,                 false, true,  false, NULL },
    { CAP_TRANSCRIPTION,  NULL,            OUTPUT_NONE,   0,                 false, true,  false, NULL },
    { CAP_TRANSLATION,    NULL,            OUTPUT_NONE,   0,                 false, true,  false, NULL },
    { CAP_RERANK,         ask_rerank,      OUTPUT_NONE,   0,                 true,  true,  false, NULL },
    { CAP_MODERATION,     ask_moderation,  OUTPUT_NONE,   0,                 true,  true,  false, NULL },
};
/* clang-format on */

const struct kind *kind_of(unsigned capability)
{
    unsigned bit = (unsigned)__builtin_ctz(capability);
    assert(bit < sizeof kinds / sizeof *kinds && kinds[bit].capability == capability);
    return &kinds[bit];
}
