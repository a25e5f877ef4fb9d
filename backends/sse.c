/* backends/sse.c -- line by line: a whole line is handled where it lies, a broken
 * one is collected first.  So the events do not depend on how the bytes were cut.
 */
#include "backends/sse.h"

void sse_init(struct sse *s, size_t event_bytes_max)
{
    *s = (struct sse){ .event_bytes_max = event_bytes_max };
    buf_init(&s->line, event_bytes_max);
    buf_init(&s->data, event_bytes_max);
}

void sse_reset(struct sse *s)
{
    struct buf line = s->line, data = s->data;
    buf_clear(&line);
    buf_clear(&data);
    *s = (struct sse){ .event_bytes_max = s->event_bytes_max, .line = line, .data = data };
}

void sse_clear(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->data);
    sse_reset(s);
}

/* The line and the data before it count together, whether the line came whole or in pieces. */
static bool fits(struct sse *s, size_t more)
{
    if (more <= s->event_bytes_max - (s->line.len + s->data.len))
        return true;
    s->failed = STATUS_BACKEND_GARBAGE;
    return false;
}

static void collect(struct sse *s, struct buf *b, const char *bytes, size_t len)
{
    if (!buf_add(b, bytes, len))
        s->failed = STATUS_NO_MEMORY;
}

static void take_data(struct sse *s, struct span value)
{
    if (s->has_data)
        collect(s, &s->data, "\n", 1);
    collect(s, &s->data, value.at, value.len);
    s->has_data = true;
}

static void take_name(struct sse *s, struct span value)
{
    size_t len = value.len < sizeof s->name ? value.len : sizeof s->name - 1;
    memcpy(s->name, value.at, len);
    s->name[len] = '\0';
}

static void dispatch(struct sse *s, sse_event_fn *on_event, void *arg)
{
    struct span data = { s->data.at ? s->data.at : "", s->data.len };
    if (s->has_data && s->failed == STATUS_OK && !on_event(arg, s->name, data))
        s->stopped = true;
    buf_clear(&s->data);
    s->has_data = false;
    s->name[0] = '\0';
}

static bool starts_with(struct span s, const char *text, size_t len)
{
    return s.len >= len && memcmp(s.at, text, len) == 0;
}

/* One whole line without its end. */
static void take_line(struct sse *s, struct span line, sse_event_fn *on_event, void *arg)
{
    if (!s->past_first_line && starts_with(line, "\xef\xbb\xbf", 3))
        line = (struct span){ line.at + 3, line.len - 3 };
    s->past_first_line = true;
    if (line.len == 0) {
        dispatch(s, on_event, arg);
        return;
    }
    const char *colon = memchr(line.at, ':', line.len);
    struct span field = { line.at, colon ? (size_t)(colon - line.at) : line.len };
    struct span value = { "", 0 };
    if (colon)
        value = (struct span){ colon + 1, line.len - field.len - 1 };
    if (starts_with(value, " ", 1))
        value = (struct span){ value.at + 1, value.len - 1 };
    if (span_is(field, "data"))
        take_data(s, value);
    else if (span_is(field, "event"))
        take_name(s, value);
}

/* Length of the line at the start of `bytes`; bytes.len when its end is not there. */
static size_t line_length(struct span bytes)
{
    const char *lf = memchr(bytes.at, '\n', bytes.len);
    size_t len = lf ? (size_t)(lf - bytes.at) : bytes.len;
    const char *cr = memchr(bytes.at, '\r', len);
    return cr ? (size_t)(cr - bytes.at) : len;
}

/* The end of a line has come; `rest` is what of the line is not in s->line yet. */
static void end_line(struct sse *s, struct span rest, sse_event_fn *on_event, void *arg)
{
    if (!fits(s, rest.len))
        return;
    if (s->line.len) {
        collect(s, &s->line, rest.at, rest.len);
        rest = buf_span(&s->line);
    }
    if (s->failed == STATUS_OK)
        take_line(s, rest, on_event, arg);
    buf_clear(&s->line);
}

enum status sse_feed(struct sse *s, struct span bytes, sse_event_fn *on_event, void *arg)
{
    while (bytes.len && !s->stopped && s->failed == STATUS_OK) {
        if (s->skip_lf && bytes.at[0] == '\n') {
            s->skip_lf = false;
            bytes = (struct span){ bytes.at + 1, bytes.len - 1 };
            continue;
        }
        s->skip_lf = false;
        size_t len = line_length(bytes);
        if (len == bytes.len) {
            if (fits(s, len))
                collect(s, &s->line, bytes.at, len);
            break;
        }
        s->skip_lf = bytes.at[len] == '\r';
        end_line(s, (struct span){ bytes.at, len }, on_event, arg);
        bytes = (struct span){ bytes.at + len + 1, bytes.len - len - 1 };
    }
    return s->failed;
}

enum status sse_finish(struct sse *s, sse_event_fn *on_event, void *arg)
{
    if (s->line.len && !s->stopped && s->failed == STATUS_OK)
        end_line(s, (struct span){ "", 0 }, on_event, arg);
    if (!s->stopped && s->failed == STATUS_OK)
        dispatch(s, on_event, arg);
    return s->failed;
}
