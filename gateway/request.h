/* gateway/request.h -- one request, from its request line to its last byte.
 *
 * It lives on one loop thread.  Two things keep it alive: the connection it came
 * on and the pipeline that works on it; it is freed when both have let go.
 */
#ifndef MAAS_REQUEST_H
#define MAAS_REQUEST_H
#include "auth/keys.h"
#include "backends/backend.h"
#include "base/arena.h"
#include "base/rid.h"
#include "base/status.h"
#include "billing/ledger.h"
#include "conf/catalog.h"
#include "gateway/answer.h"
#include "gateway/ask.h"
#include "gateway/facts.h"
#include "gateway/guard.h"
#include "gateway/loop.h"
#include "gateway/pipeline.h"
#include "gateway/reader.h"
#include "gateway/routes.h"
#include "gateway/work.h"
#include <stdbool.h>
#include <sys/queue.h>

struct MHD_Connection;
struct conn;
struct question;
struct retail;

#define REQUEST_MAGIC UINT32_C(0x52455155)

enum money {
    MONEY_NONE, /* nothing on disk */
    MONEY_HELD, /* request_open is on disk; settle must follow */
    MONEY_SETTLED,
    MONEY_LEFT, /* the store failed: recovery settles it at the next start */
};

enum { REQUEST_MESSAGE_BYTES = 256, REQUEST_ATTEMPTS_MAX = 3 };

struct intake { /* what the connection delivers */
    struct guard guard;
    const char *method, *version;       /* static or in the arena */
    struct span target;                 /* raw, percent-encoding kept; in the arena */
    struct span path, query;            /* before and after '?' */
    struct span authorization, api_key; /* in the arena; wiped after auth */
    uint64_t timeout_ms;                /* x-request-timeout-ms; 0: none; UINT64_MAX: no number */
    unsigned hops;                      /* see hops.h */
    bool sdk_retry;
    unsigned tensor_headers, idempotency_headers; /* how many of each came */
    uint64_t tensor_header_len; /* bytes of JSON before binary tensors; UINT64_MAX: no number */
    struct span multipart;      /* the Content-Type when it is multipart/..; in the arena */
    struct span boundary, idempotency_key; /* in the arena */
    uint64_t body_max;                     /* bytes of a body that this request may have */
    char *body;                            /* malloc'd */
    size_t discarded;
    size_t body_len, body_room; /* room is counted against bodies_bytes_max */
    bool body_complete, in_first_call,
        discard; /* discard: the answer is known, the rest is read and dropped */
};

struct request {
    uint32_t magic;
    bool running, gone; /* gone: the client has left */
    struct loop *loop;
    struct conn *conn;          /* NULL once the connection has let go */
    struct MHD_Connection *mhd; /* NULL likewise */
    struct snapshot *snapshot;
    const struct catalog *catalog; /* at the prices of its acceptance */
    struct arena *arena;
    struct request *prev, *next; /* loop->requests */
    TAILQ_ENTRY(request) direct; /* loop->direct */

    rid_t rid;
    char rid_text[RID_TEXT_BYTES];
    enum state state;
    enum status status;
    unsigned visited;
    char message[REQUEST_MESSAGE_BYTES]; /* "" = the status's own sentence */
    char param[64];
    int64_t started_ns, accepted_us;

    struct intake in;
    struct target target; /* accept */
    struct key *key;      /* auth */
    struct ask ask;       /* limit */
    struct form *form;    /* of a body that is one; in the arena */
    struct limits_grant grant;
    struct limits_view rates;
    bool rates_known;
    const struct catalog_model *model;
    struct retail *retail;    /* NULL: who calls buys from the operator; in the arena (retail.h) */
    struct price_bound bound; /* hold */
    struct facts *facts;      /* NULL: all prices are plain */
    struct idem *idem;        /* of its Idempotency-Key; NULL: it has none; in the arena */
    enum money money;
    struct work work;     /* backend */
    enum outcome outcome; /* meter */
    struct answer answer;

    struct loop_message message_back; /* hand-back from the ledger or reader thread */
    enum asked { ASKED_NOT, ASKED_WAITING, ASKED_ANSWERED } asked; /* of the ledger or the reader */
    uint64_t tokens_used;      /* for the token limit; as settled */
    struct question *question; /* in the arena */
    /* Last, and not zeroed with the rest: a stage writes all of it before it is read. */
    union {
        struct ledger_hold hold;
        struct ledger_settle settle;
    } ledger;
};

struct request *request_new(struct loop *l, struct conn *c, const char *raw_target);
/* The connection lets go (MHD completed the request, or the connection died). */
void request_detach(struct request *r);
/* The pipeline has let go. */
void request_ended(struct request *r);
/* The client has left: the same table runs to its end. Repeatable. */
void request_gone(struct request *r);
/* Every half second. */
void request_tick(struct request *r);
/* The call that went on without its client has ended. */
void request_drained(struct request *r);
/* It is we who have had enough of the client: its connection ends, too. Repeatable. */
void request_cut(struct request *r);

/* Sets status, sentence and parameter; returns FAIL.  `fmt` NULL: the status's own sentence. */
enum verdict request_fail(struct request *r, enum status s, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* There is no model of that name, in the words of the endpoint's clients; returns FAIL. */
enum verdict request_no_model(struct request *r, struct span name);

int64_t request_now_ns(const struct request *r);
/* What remains of the request's time; a client's own patience shortens it. */
uint64_t request_left_ms(const struct request *r);

#endif
