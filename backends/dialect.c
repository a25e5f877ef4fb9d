/* backends/dialect.c -- every dialect there is. */
#include "backends/dialect.h"

static const struct dialect_path openai_paths[] = {
    { CAP_CHAT, "/chat/completions", NULL },
    { CAP_COMPLETIONS, "/completions", NULL },
    { CAP_EMBEDDINGS, "/embeddings", NULL },
    { CAP_IMAGES, "/images/generations", "image_generation.completed" },
    { CAP_SPEECH, "/audio/speech", "speech.audio.done" },
    { CAP_TRANSCRIPTION, "/audio/transcriptions", "transcript.text.done" },
    { CAP_TRANSLATION, "/audio/translations", NULL },
    { CAP_RERANK, "/rerank", NULL },
    { CAP_MODERATION, "/moderations", NULL },
};

static const struct dialect_path oip2_paths[] = { { CAP_INFER, "/v2/models/*/infer", NULL } };

#define PATHS(rows) .paths = rows, .path_count = sizeof rows / sizeof *rows

static const struct dialect dialects[DIALECT_COUNT] = {
    [DIALECT_OPENAI] = {
        PATHS(openai_paths),
        .end_mark = "[DONE]",
        .finish_key = "finish_reason",
        .choices_key = "choices",
        .error_event = "error",
    },
    [DIALECT_OIP2] = { PATHS(oip2_paths), .tensors = true },
};

const struct dialect *dialect_find(enum dialect_id id)
{
    return &dialects[id];
}

const struct dialect_path *dialect_path(const struct dialect *d, enum capability capability)
{
    for (const struct dialect_path *p = d->paths; p < d->paths + d->path_count; p++)
        if (p->capability == capability)
            return p;
    return NULL;
}
