/* conf/draft.h -- a model while it is being read: what its own entry says, then
 * completed from its parent.  Private to conf/; lives in the scratch arena. */
#ifndef MAAS_CONF_DRAFT_H
#define MAAS_CONF_DRAFT_H
#include "conf/reader.h"

enum {
    MODELS_MAX = 10000,
    BACKENDS_MAX = 1024,
    ROUTES_MAX = CATALOG_ROUTES_MAX,
    COSTS_MAX = 1024, /* of one backend */
    MODEL_ID_BYTES_MAX = 255,
    PARENTS_MAX = 4,
    CONTEXT_LENGTH_DEFAULT = 131072,
    OUTPUT_TOKENS_DEFAULT = 8192,
    IMAGES_MAX_DEFAULT = 10,
    AUDIO_RATE_DEFAULT = 1000,
};

/* All names of capabilities, "chat|embeddings|..": the bar before the first one is skipped. */
#define CAPABILITY_BAR_NAME(bit, NAME, name) "|" name
#define CAPABILITY_CHOICES                   (&(CAPABILITY_MAP(CAPABILITY_BAR_NAME))[1])

enum { /* capabilities by what they use */
       CAPS_ALL = (1 << CAPABILITY_COUNT) - 1,
       CAPS_AUDIO_IN = CAP_TRANSCRIPTION | CAP_TRANSLATION,
       CAPS_TEXT = CAP_CHAT | CAP_COMPLETIONS,    /* the request may set how long the answer is */
       CAPS_COUNTED = CAPS_TEXT | CAP_EMBEDDINGS, /* the gateway can count its tokens */
       CAPS_TOKENS_OUT = CAPS_TEXT | CAPS_AUDIO_IN | CAP_SPEECH,
       CAPS_TOKENS_IN = CAPS_ALL & ~CAP_INFER,
       CAPS_CONTEXT = CAPS_ALL & ~(CAP_INFER | CAP_IMAGES),
};

struct model_draft {
    const struct yaml_node *node;
    struct catalog_model m;
    const char *parent_id;
    const struct model_draft *parent;
    unsigned depth;          /* parents above it */
    const char *tensor_tail; /* `"inputs":[..],"outputs":[..]}`; the name comes before it */
    const struct yaml_node *price;
};

/* Sets level, domain, industry and short_name from m.id. */
MUST_CHECK enum status id_read(struct conf_reader *r, const struct yaml_node *n,
                               struct catalog_model *m);
/* Readers of rows of model_keys. */
READER(read_routes);  /* struct catalog_model: its routes, in the order of their priority */
READER(read_recipe);  /* struct catalog_recipe */
READER(read_tensor);  /* const char *: the tail */
READER(read_backend); /* const struct catalog_backend * */

/* Parents, inheritance and what must fit together; drafts are sorted by id. */
MUST_CHECK enum status drafts_link(struct conf_reader *r, struct model_draft *drafts, size_t count);
/* Prices of one model whose capabilities and parent are complete. */
MUST_CHECK enum status draft_price(struct conf_reader *r, struct model_draft *d);
/* The canonical text of all prices and its digest. */
MUST_CHECK enum status prices_seal(struct conf_reader *r, struct catalog *c);
MUST_CHECK enum status backends_used(struct conf_reader *r, const struct yaml_node *map);

READER(read_tokenizers);
READER(read_tokenizer); /* const struct catalog_tokenizer * */
/* Each is some model's. */
MUST_CHECK enum status tokenizers_used(struct conf_reader *r, const struct yaml_node *map,
                                       const struct catalog *c);
READER(read_backends);
READER(read_egress);
READER(read_models);

/* What a file held that the configuration names. */
struct conf_file {
    char *at;
    size_t len, room;
};
/* At most `max` bytes of a regular file; a secret must not be readable by everyone.  `at` holds
 * its path.  Whatever it returns, *ret is to be wiped. */
MUST_CHECK enum status conf_file(struct conf_reader *r, const struct yaml_node *at, size_t max,
                                 bool secret, struct conf_file *ret);
void conf_file_wipe(struct conf_file *f);

/* A URL of http or https with a host, and without user, query and fragment. */
bool conf_base_url(const char *url);
/* The files of https that the entry `n` names are read, checked and become *ret. */
MUST_CHECK enum status conf_tls(struct conf_reader *r, const struct yaml_node *n, bool https,
                                struct tls **ret);

/* Addresses that stand in the file must be allowed; gives the policy to the backends. */
MUST_CHECK enum status egress_check(struct conf_reader *r, const struct yaml_node *map,
                                    const struct egress *e);
/* The same of one URL or HOST:PORT, which stands at `n`. */
MUST_CHECK enum status egress_check_address(struct conf_reader *r, const struct yaml_node *n,
                                            const char *address, const struct egress *e);
/* alerts.c */
READER(read_alerts); /* struct catalog: its alerts */
MUST_CHECK enum status alerts_check(struct conf_reader *r, const struct yaml_node *map,
                                    const struct catalog *c);
/* alerts_print.c: nothing when there are none */
MUST_CHECK bool alerts_print(struct buf *b, const struct catalog_alerts *a);
/* costs.c */
READER(read_costs); /* struct catalog_backend: its costs */
/* What a backend's model costs; NULL: it is not said. */
const struct catalog_model *cost_of(const struct catalog_backend *b, const char *model);
/* Each is of some route; then the one text of them all, and its digest. */
MUST_CHECK enum status costs_seal(struct conf_reader *r, const struct yaml_node *map,
                                  struct catalog *c);
/* compose.c */
READER(read_headers); /* struct compose */
/* Of one backend whose keys are read: the parts that are not named, and what has no effect. */
MUST_CHECK enum status compose_complete(struct conf_reader *r, const struct yaml_node *n,
                                        struct catalog_backend *b);
/* Each route leads to a backend that has words for what its model can be asked for. */
MUST_CHECK enum status compose_check_routes(struct conf_reader *r, const struct model_draft *d);

#endif
