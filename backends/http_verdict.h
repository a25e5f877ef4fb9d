/* backends/http_verdict.h -- how a call over HTTP ended, in our words.  Pure. */
#ifndef MAAS_HTTP_VERDICT_H
#define MAAS_HTTP_VERDICT_H
#include "backends/backend.h"
#include "backends/health.h"
#include <curl/curl.h>

/* The first three fill in status, untouched, message and param of *end. */

/* An HTTP status that is not success, and the start of its body.  Upstream's sentence
 * is passed on for mistakes of the client only, and never when it quotes the secret. */
void http_verdict_refused(long code, struct span body, const char *secret, struct backend_end *end);
/* An answer with status 200, or an event.  False: it does not speak of an error, *end is as it was. */
bool http_verdict_error(struct span object, bool first, const char *secret,
                        struct backend_end *end);
/* The transfer broke.  connected: some of the request may have arrived; answered: a status line came. */
void http_verdict_broken(CURLcode result, bool connected, bool answered, struct backend_end *end);
enum health_verdict http_verdict_health(enum status status, bool silent);

#endif
