/* backends/framer.h -- how a streamed answer is cut into events: one interface, a row a format. */
#ifndef MAAS_FRAMER_H
#define MAAS_FRAMER_H
#include "backends/ndjson.h"
#include "backends/sse.h"
#include "conf/compose.h"

struct framer;

struct framing { /* one stream's */
    const struct framer *framer;
    union {
        struct sse sse;
        struct ndjson ndjson;
    };
};

struct framer {
    const char *const *content_types; /* of an answer that is such a stream; ends with NULL */
    void (*init)(struct framing *f, size_t event_bytes_max);
    void (*reset)(struct framing *f);        /* for the next stream; keeps its memory */
    void (*clear)(struct framing *f);        /* frees what it holds */
    size_t (*room)(const struct framing *f); /* bytes of memory it holds */
    /* Whole events, whatever the cuts; see sse.h. */
    enum status (*feed)(struct framing *f, struct span bytes, sse_event_fn *on_event, void *arg);
    enum status (*finish)(struct framing *f, sse_event_fn *on_event, void *arg);
};

void framing_init(struct framing *f, enum framer_id id, size_t event_bytes_max);
/* Is this content type, parameters and all, that of such a stream?  NULL: no. */
bool framer_speaks(const struct framer *f, const char *content_type);

#endif
