/* backends/refworker/models.h -- the text models, one for each corpus file. */
#ifndef REFWORKER_MODELS_H
#define REFWORKER_MODELS_H
#include "backends/refworker/ngram.h"
#include "base/status.h"

enum { MODELS_MAX = 16, MODEL_NAME_BYTES = 48 };

struct models {
    struct text_model {
        char name[MODEL_NAME_BYTES]; /* "ngram-general", from general.txt */
        struct ngram *ngram;
    } text[MODELS_MAX];
    size_t count;
};

/* Adds a model for a text file, or one for each *.txt in a directory.  False and
 * a sentence in err; free the models in any case. */
MUST_CHECK bool models_load(struct models *m, const char *path, char err[static 512]);
void models_free(struct models *m);

const struct ngram *models_find(const struct models *m, const char *name); /* NULL: not there */
#endif
