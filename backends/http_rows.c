/* backends/http_rows.c -- a backend's rows are chosen, once, when it is opened. */
#include "backends/http_parts.h"

void http_rows_open(struct http_backend *b)
{
    const struct compose *conf = &b->base.conf->http;
    struct http_rows *r = &b->rows;
    r->dialect = dialect_find(conf->dialect);
    r->usage = usage_map_find(conf->usage);
    r->errors = error_map_find(conf->errors);
    r->rates = rate_map_find(conf->rates);
    r->body[BODY_ERROR].key = r->event[EVENT_ERROR].key = r->errors->object;
    r->event[EVENT_CHOICES].key = r->dialect->choices_key ? r->dialect->choices_key : "";
    r->body_count = BODY_USAGE + usage_map_fields(r->usage, true, &r->body[BODY_USAGE]);
    r->event_count = EVENT_USAGE + usage_map_fields(r->usage, false, &r->event[EVENT_USAGE]);
    r->event[r->event_count].key = "type";
}

void http_note_request(struct http_call *c)
{
    const struct backend_format *f = &c->order.format;
    struct usage_reading u = { .suspect = false };
    struct span json = c->order.body;
    if (f->tensors)
        json.len = (size_t)f->header_len;
    if (json.len)
        usage_map_request(c->backend->rows.usage, json, &u);
    http_note_usage(c, &u);
}
