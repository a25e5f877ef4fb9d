/* backends/dialect.h -- what an HTTP backend is asked, and what a streamed answer means.
 *
 * A dialect is rows, nothing else: paths by capability (every request is a POST)
 * and the marks of its streams.  Bodies pass as they are; the gateway has already
 * put the backend's name of the model into them.
 */
#ifndef MAAS_DIALECT_H
#define MAAS_DIALECT_H
#include "base/span.h"
#include "conf/catalog.h"

struct dialect_path {
    enum capability capability;
    const char *path;      /* behind the base URL; "*" stands for the backend's name of the model */
    const char *last_type; /* stream: "type" of the event that ends it; NULL: events have none */
};

struct dialect {
    const struct dialect_path *paths;
    size_t path_count;
    /* Of a stream; NULL: there is no such thing. */
    const char *end_mark;   /* the data that stands for the end */
    const char *finish_key; /* a string under it, anywhere: the answer was whole without end_mark */
    const char *choices_key; /* an event with usage, and this empty or absent, has nothing else */
    const char *error_event; /* name of an event that is an error whatever it holds */
    bool tensors;            /* it knows bodies that are JSON and then binary tensors */
};

const struct dialect *dialect_find(enum dialect_id id);
/* NULL: it has no words for that. */
const struct dialect_path *dialect_path(const struct dialect *d, enum capability capability);

#endif
