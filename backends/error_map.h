/* backends/error_map.h -- what an upstream says of an error, in our words.  Pure.
 *
 * `untouched` is the word that lets the gateway try another backend, so it is
 * said only when no byte of the request can have been worked on: here, when the
 * server itself says so by 429 or 503 before any answer.  Upstream's sentence is
 * passed on for mistakes of the client only, and never when it quotes the secret.
 * Both functions fill in status, untouched, message and param of *end.
 */
#ifndef MAAS_ERROR_MAP_H
#define MAAS_ERROR_MAP_H
#include "backends/backend.h"

/* An HTTP status that is not success, and the start of its body. */
void error_refused(long code, struct span body, const char *secret, struct backend_end *end);
/* An answer with status 200, or an event.  False: it does not speak of an error, *end is as it was. */
bool error_object(struct span object, bool first, const char *secret, struct backend_end *end);

#endif
