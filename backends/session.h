/* backends/session.h -- one gateway loop talking to one worker: frames into calls, both carriers.
 *
 * session.c keeps the connection, session_calls.c the calls and their clocks,
 * session_frames.c judges what the worker sends, session_out.c takes turns to
 * send.  A carrier (shm.c, socket.c) only moves frames.  Everything runs on the
 * loop thread.  A callback may start, cancel and even close: code that has called
 * one looks at `state` again before it touches the connection.
 */
#ifndef MAAS_SESSION_H
#define MAAS_SESSION_H
#include "backends/backend.h"
#include "backends/carrier.h"

enum {
    SESSION_TICK_MS = 50,
    SESSION_PING_MS = 1000,
    SESSION_SUSPECT_MS = 3000,
    SESSION_CANCEL_GRACE_MS = 250, /* how long a cancelled call waits for the worker's own count */
    SESSION_HOPELESS_MS = 10000, /* nothing but dead calls, or silence, for so long: start again */
    SESSION_BACKOFF_MIN_MS = 50,
    SESSION_BACKOFF_MAX_MS = 2000,
    SESSION_CONNECT_MS = 5000, /* when the configuration says nothing */
    SESSION_FRAMES_PER_TURN = 256,
    SESSION_EVENT_BYTES_MAX = 1 << 20,
    SESSION_NAME_BYTES_MAX = 1024,
    SESSION_USELESS_MAX = 4096,
};

enum session_state {
    SESSION_DOWN,  /* waits to connect */
    SESSION_DIALS, /* connecting */
    SESSION_HELLO, /* connected; the worker speaks first */
    SESSION_READY, /* ACCEPT sent */
    SESSION_UP,
    SESSION_CLOSED,
};

enum call_state {
    CALL_FREE,
    CALL_WAITS,     /* REQUEST not yet given to the carrier */
    CALL_RUNS,      /* the worker has it; the body may still be going out */
    CALL_CANCELLED, /* on_end is held back for the worker's count, a moment */
    CALL_ENDS,      /* never sent; on_end comes at the end of this turn */
    CALL_ZOMBIE,    /* on_end was given; the slot waits for the worker's FINAL */
};

struct session;

struct backend_call {
    struct session *session;
    uint32_t slot, gen;
    enum call_state state;
    bool stream, paused, data_seen, cancel_due, queued;
    bool silent; /* ended by a time-out that is the worker's fault */
    const struct backend_events *events;
    void *arg;
    struct backend_order order;
    uint64_t body_sent;
    uint64_t started_ms, heard_ms, cancelled_ms;
    uint32_t credit,
        owed; /* what the worker may still send; what was consumed and not yet returned */
    struct wire_data count; /* the last counters: they never decrease */
    struct usage so_far;
    bool format_known;
    struct backend_format format; /* of the answer; its content type lies behind it */
    char content_type[WIRE_CONTENT_TYPE_MAX + 1];
    char *part; /* the beginning of an event that came in several frames */
    size_t part_len, part_size;
    struct backend_call *next_out, *next_free;
};

struct watch; /* a descriptor in the loop, closed together */

struct session {
    struct backend base; /* first */
    const struct carrier *carrier;
    uv_loop_t *loop;
    const struct env *env;
    enum session_state state;
    bool suspect, failed_greeting; /* does not answer PING; went before the handshake was done */
    struct watch *socket, *process;
    uv_timer_t tick, retry; /* retry: back-off while down, time-out while connecting */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* runs while the loop may not sleep */
    unsigned handles;
    uint64_t now_ms, up_ms, backoff_ms, hope_ms;
    uint64_t ping_ms;
    uint32_t ping_gen;
    bool ping_due, ping_out;
    uint32_t budget; /* frames still welcome in this turn */
    bool blocked;    /* something waits for room in the carrier */
    struct backend_call *calls, *free_calls;
    uint16_t version; /* of the protocol, as agreed with this worker */
    uint32_t call_count, slots, in_use, zombies, ending;
    struct backend_call *out_first, *out_last;
    uint64_t stale_frames;
    uint32_t useless; /* frames and wake-ups without meaning since the last one that had some */
    void (*closed)(void *arg);
    void *closed_arg;
};

extern const struct backend_driver backend_shm_driver, backend_socket_driver;

/* session.c; `s` is zeroed memory that begins a carrier's own struct and is given to carrier->free at last */
enum status session_open(struct session *s, const struct backend_driver *driver,
                         const struct carrier *carrier, const struct catalog_backend *conf,
                         uv_loop_t *loop, const struct env *env);
void session_close(struct backend *b, void (*closed)(void *arg), void *arg);
void session_connected(struct session *s, int fd);     /* takes fd; HELLO may come */
void session_gone(struct session *s, const char *why); /* lost, once its last words are taken in */
void session_lost(struct session *s, const char *why);
void session_broken(struct session *s, const char *why); /* the same by the worker's fault */
void session_watch_process(struct session *s); /* best effort: the peer of a unix socket */
void session_touch(struct session *s);         /* something to do before the loop sleeps */
struct watch *session_watch(struct session *s, int fd, int events,
                            void (*fn)(struct session *s, int events));
void session_watch_events(struct watch *w, int events);
int session_watch_fd(const struct watch *w);
void session_unwatch(struct watch **w); /* closes the descriptor */
void session_handle_closed(struct session *s);

/* session_calls.c */
enum status session_start(struct backend *b, const struct backend_order *order,
                          const struct backend_events *events, void *arg,
                          struct backend_call **ret);
void session_cancel(struct backend_call *c);
void session_pause(struct backend_call *c, bool paused);
bool session_has_format(const struct backend_order *o);
void session_calls_ready(struct session *s);
void session_calls_clock(struct session *s);
void session_calls_end_waiting(struct session *s);
void session_calls_end_all(struct session *s, bool closing);
void session_call_abort(struct backend_call *c, enum status status);
void session_call_end(struct backend_call *c, struct backend_end *end, enum call_state after);
void session_call_free(struct backend_call *c);
void session_count(_Atomic uint64_t *n, uint64_t more);
void session_count_capacity(struct session *s);

/* session_frames.c: one frame, already copied from the worker's reach. */
void session_frame(struct session *s, const struct wire_head *h, const uint8_t *payload);
void session_useless(struct session *s); /* a worker that only keeps the loop awake is let go */

/* session_out.c */
void session_queue(struct backend_call *c);
void session_flush(struct session *s);
void session_owe(struct backend_call *c,
                 uint32_t bytes); /* consumed; returned as credit unless paused */
#endif
