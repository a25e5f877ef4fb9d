/* gateway/ask_parts.h -- what the readers of bodies share; no other file includes it.
 *
 * ask.c        the scan and what every body may say
 * ask_text.c   chat, completions
 * ask_media.c  speech, transcription, translation
 * ask_other.c  the other endpoints
 */
#ifndef MAAS_ASK_PARTS_H
#define MAAS_ASK_PARTS_H
#include "gateway/ask.h"

typedef enum status ask_reader(struct ask *a, struct ask_error *e);

ask_reader ask_chat, ask_completions, ask_embeddings, ask_images, ask_infer, ask_rerank,
    ask_moderation, ask_speech;

__attribute__((format(printf, 4, 5))) enum status ask_problem(struct ask_error *e, enum status s,
                                                              const char *param, const char *fmt,
                                                              ...);
bool ask_given(const struct jfield *f); /* there, and not null */
/* The three leave *ret as it was when the field is not given. */
MUST_CHECK enum status ask_int(const struct ask *a, enum ask_field which, int64_t most,
                               int64_t *ret, struct ask_error *e);
MUST_CHECK enum status ask_bool(const struct jfield *f, bool *ret, struct ask_error *e);
MUST_CHECK enum status ask_stream(struct ask *a, struct ask_error *e);
/* The field must be there, with one of the types (bits by enum jtype). */
MUST_CHECK enum status ask_want(const struct ask *a, enum ask_field which, unsigned types,
                                const char *what, struct ask_error *e);

enum { ASK_CHOICES_MAX = 128, ASK_OUTPUT_TOKENS_MAX = 10 * 1000 * 1000 };

#endif
