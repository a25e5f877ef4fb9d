/* backends/http_answer.h -- the part of http_parts.h that is about what comes back. */
#ifndef MAAS_HTTP_ANSWER_H
#define MAAS_HTTP_ANSWER_H
#include "backends/dialect.h"
#include "backends/error_map.h"
#include "backends/rate_map.h"
#include "backends/usage_map.h"

struct http_call;
struct http_backend;

enum {
    HTTP_REFUSE = 0, /* fewer bytes than were given: libcurl ends the transfer */
    HTTP_FIELDS_MAX = USAGE_FIELDS_MAX + 3,
    HTTP_TENSOR_HEAD_BYTES_MAX = 1 << 20, /* JSON in front of binary tensors */
    HTTP_TYPE_BYTES = 128,                /* of an answer's content type */
};

/* What the bytes of the answer are. */
enum http_mode {
    HTTP_UNDECIDED,
    HTTP_EVENTS,  /* 2xx, a stream of the framer's, and a stream was asked for */
    HTTP_BODY,    /* 2xx, one JSON object */
    HTTP_PIECES,  /* 2xx, not JSON, and any format was asked for: passed on as it comes */
    HTTP_REFUSAL, /* anything else: kept for its error message */
};

struct http_headers { /* of the answer, as they come */
    size_t bytes;
    unsigned lines, lengths, codings;
    int code;             /* of the last status line; 0: none yet */
    bool http10, final;   /* final: the head is whole, what comes now are trailers */
    bool tensors;         /* Inference-Header-Content-Length was there */
    uint64_t tensor_head; /* what it said */
    struct rates rates;
    char type[HTTP_TYPE_BYTES]; /* Content-Type; "" not given */
};

/* The rows that read the answers of a backend, and the members that they look for. */
struct http_rows {
    const struct dialect *dialect;
    const struct usage_map *usage;
    const struct error_map *errors;
    const struct rate_map *rates;
    struct jfield event[HTTP_FIELDS_MAX], body[HTTP_FIELDS_MAX];
    size_t event_count, body_count; /* event[event_count] is the type, which few streams have */
};
enum { BODY_ERROR, BODY_USAGE };                  /* and more of usage */
enum { EVENT_ERROR, EVENT_CHOICES, EVENT_USAGE }; /* and more of usage; then the type */

/* http_head.c and http_answer.c: libcurl's callbacks */
size_t http_on_header(char *bytes, size_t size, size_t count, void *call);
size_t http_on_bytes(char *bytes, size_t size, size_t count, void *call);
/* Ends the transfer; the first reason counts.  Returns HTTP_REFUSE. */
size_t http_refuse(struct http_call *c, enum status why);
/* The call has gathered so many bytes; false: all answers together would have more than they may. */
bool http_room(struct http_call *c, size_t bytes);
/* The HTTP answer is complete: gives out what is left and fills c->end. */
void http_answer_finish(struct http_call *c);
void http_note_usage(struct http_call *c, const struct usage_reading *u);
/* The answer, or the event, tells of an error instead; first: nothing was passed on before. */
void http_take_error(struct http_call *c, struct span text, bool first);

/* http_rows.c */
void http_rows_open(struct http_backend *b);
/* What the request itself says is used. */
void http_note_request(struct http_call *c);

/* http_events.c */
enum status http_events_take(struct http_call *c, struct span bytes);
void http_events_finish(struct http_call *c); /* the stream has ended; c->verdict says how */

/* http_pieces.c */
bool http_pieces_begin(struct http_call *c, const char *content_type); /* false: it is no type */
enum status http_pieces_take(struct http_call *c, struct span bytes);
void http_pieces_finish(struct http_call *c);
#endif
