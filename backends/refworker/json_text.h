/* backends/refworker/json_text.h -- a text as a JSON string, quotes included. */
#ifndef REFWORKER_JSON_TEXT_H
#define REFWORKER_JSON_TEXT_H
#include "base/buf.h"

/* `text` is valid UTF-8: it comes out of a JSON text or from a configuration that was checked. */
MUST_CHECK bool json_text(struct buf *out, const char *text);
#endif
