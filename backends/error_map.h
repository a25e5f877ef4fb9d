/* backends/error_map.h -- what an upstream says of an error, as rows; in our words.  Pure.
 *
 * `untouched` is the word that lets the gateway try another backend, so it is
 * said only when no byte of the request can have been worked on: here, when the
 * server itself says so by 429 or 503 before any answer.  Upstream's sentence is
 * passed on for mistakes of the client only, and never when it quotes the secret.
 */
#ifndef MAAS_ERROR_MAP_H
#define MAAS_ERROR_MAP_H
#include "backends/backend.h"
#include "base/jscan.h"

struct error_row {
    long http;        /* 0: any */
    const char *code; /* the vendor's own, text or number; NULL: any */
    enum status status;
    bool told; /* the client can do something about it: upstream's sentence is passed on */
    bool untouched;
    const char *message; /* ours, when there is something to say and upstream's is not told */
};

struct error_map {
    const char *object;                 /* top-level member that is an error, or holds one */
    const char *message, *code, *param; /* its members; upstreams may also lay them flat */
    const char *type;                   /* says what the code does not; NULL: there is none */
    const char *const *fine;      /* codes that are no error, NULL at the end; NULL: any object
                                         or sentence is one */
    const struct error_row *rows; /* looked at before those that all upstreams share */
    size_t count;
    bool silent; /* no sentence of upstream is passed on */
};

const struct error_map *error_map_find(enum error_map_id id);

/* Does this member of an answer with status 200, or of an event, tell of an error? */
bool error_map_told(const struct error_map *m, const struct jfield *object);

/* Both fill in status, untouched, message and param of *end.  `conf` has the secret. */
/* An HTTP status that is not success, and the start of its body. */
void error_map_refused(const struct error_map *m, long http, struct span body,
                       const struct catalog_backend *conf, struct backend_end *end);
/* An answer with status 200, or an event; first: nothing was passed on before it.  False: it does
 * not speak of an error, *end is as it was. */
bool error_map_object(const struct error_map *m, struct span text, bool first,
                      const struct catalog_backend *conf, struct backend_end *end);

#endif
