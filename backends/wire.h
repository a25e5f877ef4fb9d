/* backends/wire.h -- the worker protocol: one set of frames, two carriers.
 *
 * Carriers: (shm) two sealed memfds with one ring each, handed over a unix
 * SOCK_SEQPACKET connection; (socket) a unix or TCP byte stream.  The worker
 * listens, the gateway connects: one session per loop thread and worker.  All
 * integers are little-endian.  docs/worker-protocol.md is the byte by byte text.
 *
 * Session:  worker -> HELLO, gateway -> ACCEPT (+ the two memfds on shm), worker -> READY.
 * Request:  gateway -> REQUEST, BODY..., (CREDIT | CANCEL)*;  worker -> DATA..., FINAL.
 * FINAL ends the slot's generation, also after CANCEL.  PING from the gateway is
 * answered by PONG: it is how a stopped worker is told from a slow one.
 *
 * The peer is never trusted: a frame is fetched once, copied, then checked.
 */
#ifndef MAAS_WIRE_H
#define MAAS_WIRE_H
#include <assert.h>
#include <stdint.h>

#define WIRE_MAGIC UINT32_C(0x5341414d) /* "MAAS" */
enum {
    WIRE_VERSION_MIN = 1, /* without WIRE_FORMAT: JSON both ways */
    WIRE_VERSION = 2,
    WIRE_RING_VERSION = 1, /* of the page before a ring */
    /* The first meters of base/usage.h are what a worker can report.  The others (a cache of an
     * hour, video tokens) are things that only vendors count. */
    WIRE_METERS = 16,
};

enum wire_type {
    WIRE_PAD = 0, /* rings only: skip to the start */
    WIRE_HELLO = 1,
    WIRE_ACCEPT = 2,
    WIRE_READY = 3,
    WIRE_REQUEST = 4,
    WIRE_BODY = 5,
    WIRE_DATA = 6,
    WIRE_FINAL = 7,
    WIRE_CANCEL = 8,
    WIRE_CREDIT = 9,
    WIRE_PING = 10,
    WIRE_PONG = 11,
    /* 0x8000 and above may be ignored by a receiver that does not know them; any other unknown type ends the session */
};

enum wire_flag {
    WIRE_LAST = 1 << 0,        /* REQUEST, BODY: the body is complete with this frame */
    WIRE_STREAM = 1 << 1,      /* REQUEST: answer as a stream of events */
    WIRE_USAGE_EVENT = 1 << 2, /* DATA: the extra event that carries only usage */
    WIRE_USAGE = 1 << 3,       /* DATA: the counters are meant; FINAL: usage is reported */
    WIRE_MORE = 1 << 4,        /* DATA in a stream: the event goes on in the next frame */
    WIRE_FORMAT = 1 << 5,      /* version 2; REQUEST, first DATA: the bytes are no JSON object */
};

struct wire_head { /* 16 bytes; rings align frames to 16 */
    uint32_t len;  /* of the payload that follows */
    uint16_t type, flags;
    uint32_t slot, gen;
};

struct wire_hello { /* payload of HELLO */
    uint32_t magic;
    uint16_t version_min, version_max;
    uint32_t max_inflight; /* slots the worker offers, 1..WIRE_SLOTS_MAX */
    uint32_t pid;          /* informative; not trusted */
    char name[48];         /* NUL-padded */
};

struct wire_accept { /* payload of ACCEPT */
    uint32_t magic;
    uint16_t version, flags;
    uint64_t session;
    uint32_t slots;                      /* ids 0..slots-1 are in use */
    uint32_t credit_bytes;               /* DATA payload a slot may have unacknowledged */
    uint32_t frame_max;                  /* largest payload either side may send */
    uint32_t ring_bytes_g, ring_bytes_w; /* shm only, powers of two; else 0 */
    uint32_t reserved;
};

struct wire_request { /* payload of REQUEST: this, then model, public model, body so far */
    int64_t rid;
    uint64_t body_len;    /* of the whole body */
    uint32_t capability;  /* enum capability, one bit */
    uint32_t max_out;     /* 0: the worker's own limit */
    uint32_t deadline_ms; /* from now */
    uint16_t model_len, public_model_len;
};

struct wire_data { /* payload of DATA: this, then bytes; counters are cumulative */
    uint32_t input_tokens, input_cached_tokens, output_tokens, output_reasoning_tokens;
};

struct wire_final { /* payload of FINAL: this, then a message of at most 200 bytes */
    uint32_t
        code; /* 0: complete; else an HTTP-like status: 400 bad request, 413, 429, 499 cancelled, 500, 503 */
    uint32_t present;          /* usage bits by enum meter; none but the first WIRE_METERS */
    uint64_t qty[WIRE_METERS]; /* by enum meter */
};

/* With WIRE_FORMAT this and the content type stand directly before the bytes it speaks of: in a
 * REQUEST behind the names, in the first DATA of an answer (never of a stream) behind the counters. */
struct wire_format {
    uint32_t header_len; /* bytes of JSON before binary tensors; WIRE_NOT_TENSORS */
    uint16_t content_type_len, reserved;
};

struct wire_credit { /* payload of CREDIT */
    uint32_t bytes;
    uint32_t reserved;
};

enum {
    WIRE_SLOTS_MAX = 4096,
    WIRE_RING_G_BYTES = 256 * 1024,  /* gateway to worker */
    WIRE_RING_W_BYTES = 1024 * 1024, /* worker to gateway */
    WIRE_FRAME_MAX = 32 * 1024,
    WIRE_CREDIT_BYTES = 256 * 1024,
    WIRE_MESSAGE_MAX = 200,
    WIRE_CONTENT_TYPE_MAX = 127,
};

#define WIRE_NOT_TENSORS UINT32_MAX

static_assert(sizeof(struct wire_head) == 16, "frame head");
static_assert(sizeof(struct wire_hello) == 64, "HELLO");
static_assert(sizeof(struct wire_accept) == 40, "ACCEPT");
static_assert(sizeof(struct wire_request) == 32, "REQUEST");
static_assert(sizeof(struct wire_data) == 16, "DATA");
static_assert(sizeof(struct wire_format) == 8, "format");
static_assert(sizeof(struct wire_final) == 136, "FINAL");
#endif
