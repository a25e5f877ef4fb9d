/* conf/capability.h -- what a model can be asked for: one row each. */
#ifndef MAAS_CAPABILITY_H
#define MAAS_CAPABILITY_H

/* The bits are on the wire to workers: append only. */
#define CAPABILITY_MAP(X)                \
    X(0, CHAT, "chat")                   \
    X(1, EMBEDDINGS, "embeddings")       \
    X(2, IMAGES, "images")               \
    X(3, INFER, "infer")                 \
    X(4, COMPLETIONS, "completions")     \
    X(5, SPEECH, "speech")               \
    X(6, TRANSCRIPTION, "transcription") \
    X(7, TRANSLATION, "translation")     \
    X(8, RERANK, "rerank")               \
    X(9, MODERATION, "moderation")

enum capability {
#define X(bit, NAME, name) CAP_##NAME = 1 << (bit),
    CAPABILITY_MAP(X)
#undef X
#define X(bit, NAME, name) +1
        CAPABILITY_COUNT = CAPABILITY_MAP(X)
#undef X
};

const char *capability_name(unsigned bit); /* NULL: there are no more; counts from 0 */

#endif
