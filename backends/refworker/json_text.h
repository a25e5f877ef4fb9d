/* backends/refworker/json_text.h -- texts in and out of JSON. */
#ifndef REFWORKER_JSON_TEXT_H
#define REFWORKER_JSON_TEXT_H
#include "backends/refworker/fault.h"
#include "base/buf.h"
#include "base/span.h"
#include <jansson.h>

/* A body, which must be an object; the caller's own.  NULL: it is none, and *fault says where. */
json_t *json_body(struct span body, struct fault *fault);

/* Of a JSON string; lent as long as that lives. */
static inline struct span json_span(const json_t *text)
{
    return (struct span){ json_string_value(text), json_string_length(text) };
}

/* Adds `text`, quotes included.  It is valid UTF-8: it comes out of a JSON text or from a
 * configuration that was checked. */
MUST_CHECK bool json_text(struct buf *out, const char *text);
#endif
