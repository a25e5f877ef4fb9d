/* gateway/rewrite.h -- the body as the backend gets it: the client's bytes with a
 * few splices (model name, recipe, output cap, stream_options), never re-serialised. */
#ifndef MAAS_REWRITE_H
#define MAAS_REWRITE_H
#include "conf/catalog.h"
#include "gateway/ask.h"

struct rewrite {
    const char *backend_model;
    const struct catalog_recipe *recipe; /* NULL: none */
    int64_t max_out; /* per choice; put in when the client said nothing or more; 0: leave */
    bool want_usage; /* a stream: ask for the usage chunk */
};

/* *ret_memory is malloc'd (free it) and *ret_text lies in it.  NO_MEMORY or OK.
 * `infer` bodies need no rewriting: do not call it for them. */
MUST_CHECK enum status rewrite_body(struct span body, const struct ask *ask,
                                    const struct rewrite *w, char **ret_memory,
                                    struct span *ret_text);
/* The most that rewriting for this recipe can add, for the estimate of input tokens. */
size_t rewrite_growth(const struct catalog_recipe *recipe);

#endif
