/* gateway/error_body.h -- errors as JSON, in the shape the endpoint's clients parse. */
#ifndef MAAS_ERROR_BODY_H
#define MAAS_ERROR_BODY_H
#include "base/buf.h"
#include "base/status.h"
#include "gateway/routes.h"

/* `message` and `param` may be NULL or "".  Text from outside is escaped.  False: no memory. */
MUST_CHECK bool error_body(struct buf *out, enum error_shape shape, enum status s,
                           const char *message, const char *param);
/* Adds `text` as a JSON string, quotes included; invalid UTF-8 becomes '?'. */
MUST_CHECK bool json_quote(struct buf *out, const char *text, size_t len);

#endif
