/* gateway/kind.h -- what differs between the endpoints that call a model: one row each.
 *
 * A new endpoint is a capability (conf/catalog.h), a row here, a reader of its
 * body and one or more paths (gateway/routes.c). */
#ifndef MAAS_KIND_H
#define MAAS_KIND_H
#include "conf/catalog.h"
#include "gateway/ask_parts.h"

enum kind_output {              /* how many tokens an answer may have at most */
                   OUTPUT_NONE, /* its size is not counted in tokens */
                   OUTPUT_ASKED, /* what the request says, else the default, never more than the model's */
};

enum kind_body {
    BODY_JSON,    /* one object */
    BODY_TENSORS, /* one object, or one and then binary tensors */
    BODY_FORM,    /* multipart/form-data */
};

struct kind {
    enum capability capability;
    enum kind_body body;
    ask_reader *read;
    enum kind_output output;
    int64_t default_out; /* OUTPUT_ASKED: when the request says nothing; 0: the model's default */
    bool rated;          /* what it uses counts against the key's limit of tokens */
    bool silent; /* no usage is expected of its backends but for prices that only they can tell */
    bool any_format;        /* its answer need not be JSON */
    bool recipe;            /* parameters and instructions of a recipe go into its body */
    const char *keep_alive; /* `object` and the choice of a chunk without content; NULL: none */
};

/* `capability` is one bit that has a row. */
const struct kind *kind_of(unsigned capability);

#endif
