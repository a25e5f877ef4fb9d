/* backends/framer.c -- see framer.h. */
#include "backends/framer.h"
#include <strings.h>

static void sse_open(struct framing *f, size_t event_bytes_max)
{
    sse_init(&f->sse, event_bytes_max);
}

static void sse_again(struct framing *f)
{
    sse_reset(&f->sse);
}

static void sse_drop(struct framing *f)
{
    sse_clear(&f->sse);
}

static size_t sse_room(const struct framing *f)
{
    return f->sse.line.room + f->sse.data.room;
}

static enum status sse_bytes(struct framing *f, struct span bytes, sse_event_fn *on_event,
                             void *arg)
{
    return sse_feed(&f->sse, bytes, on_event, arg);
}

static enum status sse_end(struct framing *f, sse_event_fn *on_event, void *arg)
{
    return sse_finish(&f->sse, on_event, arg);
}

static void ndjson_open(struct framing *f, size_t event_bytes_max)
{
    ndjson_init(&f->ndjson, event_bytes_max);
}

static void ndjson_again(struct framing *f)
{
    ndjson_reset(&f->ndjson);
}

static void ndjson_drop(struct framing *f)
{
    ndjson_clear(&f->ndjson);
}

static size_t ndjson_room(const struct framing *f)
{
    return f->ndjson.line.room;
}

static enum status ndjson_bytes(struct framing *f, struct span bytes, sse_event_fn *on_event,
                                void *arg)
{
    return ndjson_feed(&f->ndjson, bytes, on_event, arg);
}

static enum status ndjson_end(struct framing *f, sse_event_fn *on_event, void *arg)
{
    return ndjson_finish(&f->ndjson, on_event, arg);
}

static const char *const sse_types[] = { "text/event-stream", NULL };
static const char *const ndjson_types[] = { "application/x-ndjson",   "application/ndjson",
                                            "application/jsonl",      "application/x-jsonlines",
                                            "application/json-lines", NULL };

static const struct framer framers[FRAMER_COUNT] = {
    [FRAMER_SSE] = { sse_types, sse_open, sse_again, sse_drop, sse_room, sse_bytes, sse_end },
    [FRAMER_NDJSON] = { ndjson_types, ndjson_open, ndjson_again, ndjson_drop, ndjson_room,
                        ndjson_bytes, ndjson_end },
};

void framing_init(struct framing *f, enum framer_id id, size_t event_bytes_max)
{
    f->framer = &framers[id];
    f->framer->init(f, event_bytes_max);
}

bool framer_speaks(const struct framer *f, const char *content_type)
{
    size_t len = content_type ? strcspn(content_type, "; \t") : 0;
    for (const char *const *type = f->content_types; *type; type++)
        if (strlen(*type) == len && strncasecmp(*type, content_type, len) == 0)
            return true;
    return false;
}
