/* backends/ndjson.c -- see ndjson.h. */
#include "backends/ndjson.h"

void ndjson_init(struct ndjson *n, size_t line_bytes_max)
{
    *n = (struct ndjson){ .stopped = false };
    buf_init(&n->line, line_bytes_max);
}

void ndjson_reset(struct ndjson *n)
{
    buf_clear(&n->line);
    n->stopped = false;
    n->failed = STATUS_OK;
}

void ndjson_clear(struct ndjson *n)
{
    buf_free(&n->line);
    ndjson_reset(n);
}

static void collect(struct ndjson *n, struct span bytes)
{
    if (bytes.len > n->line.max - n->line.len)
        n->failed = STATUS_BACKEND_GARBAGE;
    else if (!buf_add(&n->line, bytes.at, bytes.len))
        n->failed = STATUS_NO_MEMORY;
}

static bool is_blank(struct span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (!strchr(" \t\r", line.at[i]) || !line.at[i])
            return false;
    return true;
}

/* The end of a line has come; `rest` is what of the line is not in n->line yet.  A line that
 * came whole is handled where it lies. */
static void end_line(struct ndjson *n, struct span rest, sse_event_fn *on_event, void *arg)
{
    struct span line = rest;
    if (n->line.len) {
        collect(n, rest);
        line = buf_span(&n->line);
    } else if (rest.len > n->line.max) {
        n->failed = STATUS_BACKEND_GARBAGE;
    }
    if (n->failed == STATUS_OK && !is_blank(line) && !on_event(arg, "", line))
        n->stopped = true;
    buf_clear(&n->line);
}

enum status ndjson_feed(struct ndjson *n, struct span bytes, sse_event_fn *on_event, void *arg)
{
    while (bytes.len && !n->stopped && n->failed == STATUS_OK) {
        const char *lf = memchr(bytes.at, '\n', bytes.len);
        if (!lf) {
            collect(n, bytes);
            break;
        }
        size_t len = (size_t)(lf - bytes.at);
        end_line(n, (struct span){ bytes.at, len }, on_event, arg);
        bytes = (struct span){ lf + 1, bytes.len - len - 1 };
    }
    return n->failed;
}

enum status ndjson_finish(struct ndjson *n, sse_event_fn *on_event, void *arg)
{
    if (n->line.len && !n->stopped && n->failed == STATUS_OK)
        end_line(n, (struct span){ "", 0 }, on_event, arg);
    return n->failed;
}
