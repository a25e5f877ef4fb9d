/* backends/http_events.c -- a streamed answer: each event is looked at and passed on whole. */
#include "backends/http_parts.h"
#include "backends/openai_usage.h"

/* "finish_reason": followed by a string, wherever it stands: only asked when [DONE] is missing. */
static bool says_finish(struct span text)
{
    static const char key[] = "\"finish_reason\"";
    const char *end = text.at + text.len;
    const char *at = memmem(text.at, text.len, key, sizeof key - 1);
    if (!at)
        return false;
    at += sizeof key - 1;
    while (at < end && (*at == ' ' || *at == ':'))
        at++;
    return at < end && *at == '"';
}

enum { EVENT_USAGE, EVENT_CHOICES, EVENT_ERROR, EVENT_FIELDS };

static void pass_event(struct http_call *c, struct span text, const struct jfield *field)
{
    struct backend_data d = { .bytes = text.at, .len = text.len };
    if (field[EVENT_USAGE].type == J_OBJECT) {
        struct openai_usage u = openai_usage_read(&field[EVENT_USAGE]);
        http_note_usage(c, &u);
        d.so_far = c->usage.present ? &c->usage : NULL;
        d.usage_event = field[EVENT_CHOICES].type == J_ARRAY &&
                        jscan_array_count(field[EVENT_CHOICES].value) == 0;
    }
    c->finish_seen = c->finish_seen || says_finish(text);
    c->any_event = true;
    c->events.on_data(c->arg, &d);
}

static bool on_event(void *arg, const char *name, struct span text)
{
    struct http_call *c = arg;
    struct jfield field[EVENT_FIELDS] = {
        [EVENT_USAGE] = { .key = "usage" },
        [EVENT_CHOICES] = { .key = "choices" },
        [EVENT_ERROR] = { .key = "error" },
    };
    struct jscan_error at;
    (void)name; /* chat has none that matter */
    if (span_is(text, "[DONE]"))
        c->done_seen = true;
    if (c->done_seen || text.len == 0)
        return !c->done_seen;
    if (jscan_object(text, field, EVENT_FIELDS, &at) != STATUS_OK) {
        c->verdict = STATUS_BACKEND_GARBAGE;
        return false;
    }
    if (http_is_error(&field[EVENT_ERROR])) {
        http_take_error(c, text, !c->any_event);
        return false;
    }
    pass_event(c, text, field);
    return !c->ended;
}

enum status http_events_take(struct http_call *c, struct span bytes)
{
    enum status s = sse_feed(&c->sse, bytes, on_event, c);
    return c->verdict != STATUS_OK ? c->verdict : s;
}

void http_events_finish(struct http_call *c)
{
    enum status s = sse_finish(&c->sse, on_event, c);
    if (c->verdict == STATUS_OK)
        c->verdict = s;
    if (c->verdict == STATUS_OK && !c->done_seen && !c->finish_seen)
        c->verdict = STATUS_BACKEND_CUT;
}
