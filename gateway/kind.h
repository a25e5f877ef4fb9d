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
                   OUTPUT_MODEL, /* the model's most: the request says nothing of it */
};

enum kind_body {
    BODY_JSON,    /* one object */
    BODY_TENSORS, /* one object, or one and then binary tensors */
    BODY_FORM,    /* multipart/form-data */
};

enum kind_trait {
    KIND_RATED = 1 << 0, /* what it uses counts against the key's limit of tokens */
    KIND_SILENT =
        1 << 1,        /* no usage is expected of its backends but for prices only they can tell */
    KIND_ANY = 1 << 2, /* its answer need not be JSON */
    KIND_FLOWS = 1 << 3,  /* such an answer leaves as it comes */
    KIND_RECIPE = 1 << 4, /* parameters and instructions of a recipe go into its body */
};

struct kind {
    enum capability capability;
    enum kind_body body;
    uint64_t body_max; /* bytes; 0: as the setting body_bytes_max says, which never is exceeded */
    ask_reader *read;  /* NULL: ask_form */
    enum kind_output output;
    int64_t default_out; /* OUTPUT_ASKED: when the request says nothing; 0: the model's default */
    unsigned traits;     /* enum kind_trait */
    const char *keep_alive; /* `object` and the choice of a chunk without content; NULL: none */
};

/* `capability` is one bit that has a row. */
const struct kind *kind_of(unsigned capability);

#endif
