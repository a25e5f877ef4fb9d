/* backends/http_events.c -- a streamed answer: each event is looked at and passed on whole. */
#include "backends/http_parts.h"

/* The key followed by a string, wherever it stands: only asked when the end mark is missing. */
static bool says_finish(struct span text, const char *key)
{
    const char *end = text.at + text.len, *at = text.at;
    size_t len = strlen(key);
    at = memmem(text.at, text.len, key, len);
    if (!at || at == text.at || at[-1] != '"' || at + len == end || at[len] != '"')
        return false;
    at += len + 1;
    while (at < end && (*at == ' ' || *at == ':'))
        at++;
    return at < end && *at == '"';
}

static bool is_text(const struct jfield *f, const char *text)
{
    size_t len = strlen(text);
    return f->type == J_STRING && f->value.len == len + 2 &&
           memcmp(f->value.at + 1, text, len) == 0;
}

/* Streams whose events have no choices end with an event of a certain type, and its usage. */
static bool is_last(const struct http_call *c, const struct jfield *field)
{
    return c->path->last_type && is_text(&field[c->backend->rows.event_count], c->path->last_type);
}

static bool is_only_usage(const struct http_call *c, const struct jfield *field)
{
    if (c->path->last_type)
        return is_last(c, field);
    return field[EVENT_CHOICES].type == J_ARRAY &&
           jscan_array_count(field[EVENT_CHOICES].value) == 0;
}

static bool ends(const struct http_call *c, struct span text, const struct jfield *field)
{
    const char *key = c->backend->rows.dialect->finish_key;
    return is_last(c, field) || (key && says_finish(text, key));
}

static void pass_event(struct http_call *c, struct span text, const struct jfield *field)
{
    const struct usage_map *usage = c->backend->rows.usage;
    struct backend_data d = { .bytes = text.at, .len = text.len };
    if (usage_map_told(usage, &field[EVENT_USAGE])) {
        struct usage_reading u =
            usage_map_read(usage, c->order.capability, false, &field[EVENT_USAGE]);
        http_note_usage(c, &u);
        d.so_far = c->usage.present ? &c->usage : NULL;
        d.usage_event = is_only_usage(c, field);
    }
    c->finish_seen = c->finish_seen || ends(c, text, field);
    c->any_event = true;
    c->events.on_data(c->arg, &d);
}

static bool is(const char *name, const char *expected)
{
    return expected && strcmp(name, expected) == 0;
}

static bool on_event(void *arg, const char *name, struct span text)
{
    struct http_call *c = arg;
    const struct http_rows *rows = &c->backend->rows;
    struct jfield field[HTTP_FIELDS_MAX];
    struct jscan_error at;
    if (rows->dialect->end_mark && span_is(text, rows->dialect->end_mark))
        c->done_seen = true;
    if (c->done_seen || text.len == 0)
        return !c->done_seen;
    size_t count = rows->event_count + (c->path->last_type != NULL);
    memcpy(field, rows->event, count * sizeof *field);
    if (jscan_object(text, field, count, &at) != STATUS_OK) {
        c->verdict = STATUS_BACKEND_GARBAGE;
        return false;
    }
    if (error_map_told(rows->errors, &field[EVENT_ERROR]) || is(name, rows->dialect->error_event)) {
        http_take_error(c, text, !c->any_event);
        return false;
    }
    pass_event(c, text, field);
    return !c->ended;
}

enum status http_events_take(struct http_call *c, struct span bytes)
{
    enum status s = c->framing.framer->feed(&c->framing, bytes, on_event, c);
    return c->verdict != STATUS_OK ? c->verdict : s;
}

void http_events_finish(struct http_call *c)
{
    enum status s = c->framing.framer->finish(&c->framing, on_event, c);
    if (c->verdict == STATUS_OK)
        c->verdict = s;
    if (c->verdict == STATUS_OK && !c->done_seen && !c->finish_seen)
        c->verdict = STATUS_BACKEND_CUT;
}
