/* backends/sse.h -- splits a byte stream into server-sent events.
 *
 * A push parser: bytes go in as they arrive, cut anywhere, and each whole event
 * comes out once.  Lines may end in LF, CR or CRLF; a byte order mark at the
 * start and comments are skipped; several data lines are joined by LF.  `id` and
 * `retry` are ignored: we never reconnect.  What the events mean, "[DONE]"
 * included, is the caller's business.  No I/O; memory is bounded.
 */
#ifndef MAAS_SSE_H
#define MAAS_SSE_H
#include "base/buf.h"
#include "base/span.h"
#include "base/status.h"

struct sse {
    size_t event_bytes_max;
    struct buf line; /* the start of a line whose end has not arrived */
    struct buf data; /* data lines of the event so far */
    char name[64];   /* cut when longer; no protocol of ours has such names */
    bool has_data;
    bool past_first_line; /* a byte order mark is only one at the very start */
    bool skip_lf;         /* the last byte was a CR that ended a line */
    bool stopped;         /* the callback wanted no more */
    enum status failed;   /* sticky */
};

/* name is "" when the event has none.  Both are lent for the call.  False: no more events. */
typedef bool sse_event_fn(void *arg, const char *name, struct span data);

void sse_init(struct sse *s, size_t event_bytes_max);
void sse_reset(struct sse *s); /* for the next stream; keeps its memory */
void sse_clear(struct sse *s); /* frees what it holds */

/* BACKEND_GARBAGE when one event is larger than the limit, NO_MEMORY; then nothing more comes out. */
MUST_CHECK enum status sse_feed(struct sse *s, struct span bytes, sse_event_fn *on_event,
                                void *arg);

/* The stream has ended properly: an event that lacks its empty line still counts. */
MUST_CHECK enum status sse_finish(struct sse *s, sse_event_fn *on_event, void *arg);
#endif
