/* backends/worker/internal.h -- the parts of libmaasworker as they see one another.
 *
 * worker.c runs the loop, listen.c accepts, session.c turns frames into calls,
 * out.c sends what the calls say, shm.c and stream.c carry frames, call.c and
 * chat.c are what the engine calls.  Nothing is destroyed inside a call of the
 * engine: a session that fails is marked dead and buried by the loop.
 */
#ifndef MAASWORKER_INTERNAL_H
#define MAASWORKER_INTERNAL_H
#include "backends/ring.h"
#include "backends/worker/call.h"
#include "base/buf.h"
#include "base/mpsc.h"

#pragma GCC visibility push(hidden)

enum {
    WK_LISTENERS_MAX = 16,
    WK_SESSIONS_MAX = 256,
    WK_FRAMES_PER_TURN = 1024,
    WK_BODY_BYTES_MAX = 256 << 20,
    WK_BODY_KEPT_BYTES = 64 << 10, /* a slot keeps a buffer up to this for its next request */
    WK_PIECE_BYTES_MAX = 64 << 20,
    WK_EVENT_BYTES_MAX = 1 << 20,
    WK_ACCEPT_TIMEOUT_MS = 5000,
};

struct wk_session;

struct wk_carrier {
    bool (*accept)(struct wk_session *s, const struct wire_accept *a); /* maps, allocates */
    bool (*say)(struct wk_session *s, const struct wire_head *h,
                const void *payload);       /* during the handshake */
    void (*readable)(struct wk_session *s); /* reads the socket; may mark the session dead */
    void (*drain)(struct wk_session *s);    /* gives complete frames to wk_frame */
    uint32_t (*room)(struct wk_session *s);
    uint8_t *(*reserve)(struct wk_session *s, uint32_t len);
    void (*commit)(struct wk_session *s, const struct wire_head *h);
    void (*flush)(struct wk_session *s);
    bool (*arm)(struct wk_session *s); /* false: there is more to do, do not sleep */
    void (*disarm)(struct wk_session *s);
    void (*release)(struct wk_session *s);
};

struct wk_buffer {
    uint8_t *at;
    size_t begin, end, size;
};

struct wk_session {
    struct maas_worker *worker;
    struct wk_session *next;
    const struct wk_carrier *carrier;
    int fd;
    bool up, dead;
    uint64_t accept_by_ms;
    uint16_t version; /* of the protocol, as agreed */
    uint32_t slots, credit_bytes, frame_max;
    struct maas_call *calls;
    struct maas_call *out_first, *out_last; /* calls with something to send, in turn */
    bool blocked;                           /* the carrier had no room */
    uint32_t pong_due, pong_gen;
    /* shm */
    struct ring ring;
    void *map_g, *map_w;
    size_t map_g_bytes, map_w_bytes;
    int fds[2];
    uint8_t *payload;
    /* stream */
    struct wk_buffer in, out;
    bool polls_write;
};

struct wk_timer {
    uint64_t due_ms, order;
    void (*fn)(void *arg);
    void *arg;
};

struct wk_listener {
    int fd;
    const struct wk_carrier *carrier;
    char path[108]; /* removed at the end; "" for TCP */
};

struct maas_worker {
    struct maas_handler handler;
    void *arg;
    char name[48];
    uint32_t max_inflight;
    int epoll_fd, event_fd, journal_fd;
    int tcp_port;
    atomic_bool stopped;
    struct mpsc posts;
    struct wk_listener listeners[WK_LISTENERS_MAX];
    unsigned listener_count, session_count;
    struct wk_session *sessions;
    struct wk_timer *timers; /* a binary heap */
    size_t timer_count, timer_room;
    uint64_t timer_order;
    struct buf scratch; /* of chat.c */
};

extern const struct wk_carrier wk_carrier_shm, wk_carrier_stream;

/* worker.c */
uint64_t wk_now_ms(void);
bool wk_watch(struct maas_worker *w, int fd, void *what, bool write);
/* timers.c */
void wk_timers_run(struct maas_worker *w);
int wk_timers_wait_ms(const struct maas_worker *w); /* -1: no timer */
/* listen.c */
void wk_listeners_close(struct maas_worker *w);
void wk_listeners_forked(struct maas_worker *w); /* closes, and leaves the paths to the parent */
/* session.c */
void wk_session_new(struct maas_worker *w, int fd, const struct wk_carrier *carrier);
void wk_session_free(struct wk_session *s); /* tells the engine of each call first */
void wk_frame(struct wk_session *s, const struct wire_head *h, const uint8_t *payload);
void wk_call_free(struct maas_call *c);
/* out.c */
uint16_t wk_counts(const struct maas_usage *u); /* the flag of counters that are meant, or 0 */
int wk_send(struct maas_call *c, const char *bytes, size_t len, uint16_t flags, bool always);
void wk_final(struct maas_call *c, uint32_t code, const char *message, size_t len,
              const struct maas_usage *u);
void wk_queue(struct maas_call *c);
void wk_flush(struct wk_session *s);
/* journal.c */
void wk_journal(const struct maas_call *c, const char *event, const struct maas_usage *u);

#pragma GCC visibility pop
#endif
