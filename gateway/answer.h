/* gateway/answer.h -- what a client is sent, and how much of it has left; a part of its request. */
#ifndef MAAS_ANSWER_H
#define MAAS_ANSWER_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct direct {                 /* a stream past the HTTP library, see direct.h */
    bool open, listed, blocked; /* blocked: the socket is full */
    size_t chunk;               /* bytes of events in the chunk under way; 0: there is none */
    size_t sent;                /* of that chunk with its head and its end */
};

struct answer { /* what the client is sent */
    struct direct direct;
    int http;
    const char *content_type, *allow; /* NULL: application/json; none */
    const char *amount_unit;          /* NULL: there is no money in it */
    bool tensors;                     /* binary, behind so much JSON: */
    uint64_t header_len;
    bool raw, kept_back; /* a stream of bytes, not of events; its last one waits for the bill */
    char last_byte;
    struct buf
        body;       /* non-stream: the whole body; stream: bytes not yet taken by the HTTP server */
    size_t taken;   /* of body, by the HTTP server */
    size_t counted; /* of body, against answers_bytes_max: its longest so far, in steps */
    bool stream, queued, finished, cut; /* queued: status and headers are with the HTTP server */
    bool suspended;
    int64_t retry_after_ms; /* < 0: none */
    int64_t progress_ns;    /* when the reader last took something */
};

#endif
