/* backends/http_answer.h -- the part of http_parts.h that is about what comes back. */
#ifndef MAAS_HTTP_ANSWER_H
#define MAAS_HTTP_ANSWER_H
#include "backends/openai_usage.h"
#include "base/span.h"

struct http_call;

enum { HTTP_REFUSE = 0 }; /* fewer bytes than were given: libcurl ends the transfer */

/* What the bytes of the answer are. */
enum http_mode {
    HTTP_UNDECIDED,
    HTTP_EVENTS,  /* 2xx, event stream, and a stream was asked for */
    HTTP_BODY,    /* 2xx, one JSON object */
    HTTP_REFUSAL, /* anything else: kept for its error message */
};

struct http_headers { /* of the answer, as they come */
    size_t bytes;
    unsigned lines, lengths;
    bool chunked;
};

/* http_head.c and http_answer.c: libcurl's callbacks */
size_t http_on_header(char *bytes, size_t size, size_t count, void *call);
size_t http_on_bytes(char *bytes, size_t size, size_t count, void *call);
/* Ends the transfer; the first reason counts.  Returns HTTP_REFUSE. */
size_t http_refuse(struct http_call *c, enum status why);
/* The HTTP answer is complete: gives out what is left and fills c->end. */
void http_answer_finish(struct http_call *c);
void http_note_usage(struct http_call *c, const struct openai_usage *u);
bool http_is_error(const struct jfield *f);
/* The answer, or the event, tells of an error instead; first: nothing was passed on before. */
void http_take_error(struct http_call *c, struct span text, bool first);

/* http_events.c */
enum status http_events_take(struct http_call *c, struct span bytes);
void http_events_finish(struct http_call *c); /* the stream has ended; c->verdict says how */
#endif
