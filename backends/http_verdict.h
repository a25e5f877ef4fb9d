/* backends/http_verdict.h -- how a call over HTTP ended, in our words.  Pure. */
#ifndef MAAS_HTTP_VERDICT_H
#define MAAS_HTTP_VERDICT_H
#include "backends/backend.h"
#include "backends/health.h"
#include <curl/curl.h>

/* Fills in status, untouched and unanswered of *end.  The transfer broke.  connected: some of the
 * request may have arrived; answered: a status line came. */
void http_verdict_broken(CURLcode result, bool connected, bool answered, struct backend_end *end);
enum health_verdict http_verdict_health(enum status status, bool silent);

#endif
