/* backends/worker/maasworker.h -- attach an engine to maasgate in about 50 lines.
 *
 * libmaasworker listens on a unix socket (shared-memory rings or byte stream) or
 * a TCP port, speaks the worker protocol to every gateway loop that connects and
 * calls your handler for each request.  One thread: all functions are called from
 * the thread that runs maas_worker_run(), except maas_worker_stop() and
 * maas_worker_post().  This header needs nothing else of maasgate.
 *
 * What a binding must know: a call is yours until maas_call_finish or _fail has
 * returned MAAS_OK or on_gone has been called for it; after that its pointer may
 * stand for another request.  No function here calls a handler before it returns.
 * What is sent is copied before it returns; what a request points to lives as long
 * as its call.  Gateways watch the process that called listen(): it must not end
 * before the worker does.
 */
#ifndef MAASWORKER_H
#define MAASWORKER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct maas_worker;
struct maas_call; /* one request; yours from on_request until maas_call_finish or _fail */

enum maas_capability {
    MAAS_CHAT = 1,
    MAAS_EMBEDDINGS = 2,
    MAAS_IMAGES = 4,
    MAAS_INFER = 8,
    MAAS_COMPLETIONS = 16,
    MAAS_SPEECH = 32,
    MAAS_TRANSCRIPTION = 64,
    MAAS_TRANSLATION = 128,
    MAAS_RERANK = 256,
    MAAS_MODERATION = 512,
};

struct maas_request { /* valid as long as the call */
    int64_t request_id;
    enum maas_capability capability;
    const char *model;        /* your name for the model */
    const char *public_model; /* the name the client used: echo it in answers */
    bool stream;
    const char *body; /* a JSON object unless content_type says otherwise; NUL-terminated */
    size_t body_len;
    uint32_t max_output_tokens; /* 0: your own limit */
    uint32_t deadline_ms;       /* patience of the gateway when it sent the request */
    const char *content_type;   /* of the body: "application/json", "multipart/form-data; .." */
    int64_t header_len; /* binary tensors: so many bytes of JSON, then the tensors; -1: none */
};

/* Numbers are final when passed to maas_call_finish; -1 = not reported. */
struct maas_usage {
    int64_t input_tokens, input_cached_tokens, input_cache_write_tokens; /* disjoint */
    int64_t output_tokens, output_reasoning_tokens;                      /* disjoint */
    int64_t images, characters, audio_ms, compute_ms, tensor_elements;
    int64_t input_audio_tokens, input_image_tokens;   /* not in input_tokens */
    int64_t output_audio_tokens, output_image_tokens; /* not in output_tokens */
    int64_t video_ms;
};
#define MAAS_USAGE_NONE                                            \
    {                                                              \
        -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 \
    }

struct maas_handler {
    /* The body is complete.  Answer now or later. */
    void (*on_request)(struct maas_call *call, const struct maas_request *req, void *arg);
    /* The gateway wants no more of it: stop soon and call maas_call_finish with what was used. May be NULL. */
    void (*on_cancel)(struct maas_call *call, void *arg);
    /* After MAAS_AGAIN: there is room again. May be NULL when you never send much. */
    void (*on_writable)(struct maas_call *call, void *arg);
    /* The session is gone: the call is dead, do not touch it again. May be NULL. */
    void (*on_gone)(struct maas_call *call, void *arg);
};

struct maas_options {
    const char
        *listen; /* "shm:/run/x.sock", "unix:/run/x.sock", "tcp:127.0.0.1:7001" (port 0: any) */
    const char *name;      /* shown in the gateway's status */
    uint32_t max_inflight; /* per session; 0: 256 */
};

enum { MAAS_OK = 0, MAAS_AGAIN = 1, MAAS_GONE = -1, MAAS_INVALID = -2 };

/* Whether the caller's structures are as large as the library's: for other languages, whose
 * declarations are not compiled against this header. */
bool maas_worker_fits(size_t request, size_t usage, size_t handler, size_t options);
/* NULL and a sentence in err. Several listeners: call maas_worker_listen again. */
struct maas_worker *maas_worker_new(const struct maas_options *o, const struct maas_handler *h,
                                    void *arg, char err[256]);
int maas_worker_listen(struct maas_worker *w, const char *listen, char err[256]);
int maas_worker_port(const struct maas_worker *w); /* of the first TCP listener; 0 none */
int maas_worker_run(struct maas_worker *w);        /* returns after maas_worker_stop */
void maas_worker_stop(struct maas_worker *w);      /* any thread, signal-safe */
void maas_worker_post(struct maas_worker *w, void (*fn)(void *),
                      void *arg); /* any thread: run fn on the worker's thread */
void maas_worker_free(struct maas_worker *w);
/* In a child made by fork() while sessions are up: lets go of the child's copies of the sockets, so
 * that gateways see at once when the parent ends.  The parent does not notice.  The child then does
 * nothing with w but maas_worker_free, and not even that has to be. */
void maas_worker_forked(struct maas_worker *w);

/* Calls fn once after `ms`; from the worker's thread. */
void maas_worker_after(struct maas_worker *w, uint32_t ms, void (*fn)(void *arg), void *arg);

void maas_call_set_data(struct maas_call *call, void *data);
void *maas_call_data(const struct maas_call *call);
const struct maas_request *maas_call_request(const struct maas_call *call);

/* Before the first piece of an answer that is not JSON, never of a stream: what its bytes are.
 * header_len: as in the request; -1: no tensors.  MAAS_INVALID also when the gateway is too old. */
int maas_call_format(struct maas_call *call, const char *content_type, int64_t header_len);
/* Non-stream: a piece of the body.  Stream: exactly one event (JSON text).
 * `so_far` may be NULL; it is passed on when it says how much output there is.
 * No bytes: just the counters, and that the engine is alive.
 * MAAS_AGAIN: nothing was taken; wait for on_writable.  MAAS_GONE: cancelled, so finish with what
 * was used; or the session is over, and on_gone comes. */
int maas_call_send(struct maas_call *call, const char *bytes, size_t len,
                   const struct maas_usage *so_far);
/* The last event of a stream, the one that carries only usage (OpenAI: choices is []). Always send it; the gateway
 * keeps it from clients that did not ask. */
int maas_call_send_usage_event(struct maas_call *call, const char *bytes, size_t len);
int maas_call_finish(struct maas_call *call, const struct maas_usage *usage);
/* code: 400, 413, 429, 499, 500, 503; message: for the caller, at most 200 bytes, no secrets. */
int maas_call_fail(struct maas_call *call, int code, const char *message,
                   const struct maas_usage *usage);

/* ---- optional helpers that write OpenAI's shapes, so that an engine need not ----
 * Of a request for MAAS_COMPLETIONS they write text_completion, of all others chat.completion. */
/* One text delta of a stream; in chat the first call also sends the role. */
int maas_chat_delta(struct maas_call *call, const char *text, size_t len,
                    const struct maas_usage *so_far);
/* Ends an answer: finish chunk + usage event (stream) or the whole body with `text` (non-stream), then finish. */
int maas_chat_finish(struct maas_call *call, const char *text, size_t len,
                     const char *finish_reason, const struct maas_usage *usage);

#ifdef __cplusplus
}
#endif
#endif
