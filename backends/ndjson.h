/* backends/ndjson.h -- splits a byte stream into lines of JSON.
 *
 * A push parser like sse.h: bytes go in as they arrive, cut anywhere, and each
 * line comes out once, without its end.  Lines end in LF (a CR before it is white
 * space to JSON); blank ones are skipped, and the last one may lack its end.
 * Whether a line is JSON is the caller's business.  No I/O; memory is bounded.
 */
#ifndef MAAS_NDJSON_H
#define MAAS_NDJSON_H
#include "backends/sse.h"

struct ndjson {
    struct buf line;    /* the start of a line whose end has not arrived; its maximum is a line's */
    bool stopped;       /* the callback wanted no more */
    enum status failed; /* sticky */
};

void ndjson_init(struct ndjson *n, size_t line_bytes_max);
void ndjson_reset(struct ndjson *n); /* for the next stream; keeps its memory */
void ndjson_clear(struct ndjson *n); /* frees what it holds */

/* As sse_feed and sse_finish; the name of an event is always "". */
MUST_CHECK enum status ndjson_feed(struct ndjson *n, struct span bytes, sse_event_fn *on_event,
                                   void *arg);
MUST_CHECK enum status ndjson_finish(struct ndjson *n, sse_event_fn *on_event, void *arg);
#endif
