/* gateway/desk.h -- a backend as one loop knows it: beside the driver's connection,
 * what was learned from its calls.  Loop thread; what is atomic may be read anywhere. */
#ifndef MAAS_DESK_H
#define MAAS_DESK_H
#include "backends/backend.h"
#include "backends/health.h"
#include "backends/pace.h"
#include "gateway/standing.h"

struct generation;
struct loop;

struct desk_stats { /* owner thread writes */
    _Atomic uint64_t ejections, affinity_hits, affinity_misses;
    _Atomic uint64_t ttft_ns;         /* average; 0: unknown */
    _Atomic int64_t ejected_until_ms; /* 0: it is not ejected; monotonic */
    _Atomic uint32_t failures_in_a_row;
};

struct desk {
    struct loop *loop;
    struct generation *lent;   /* whose strings the driver borrows */
    struct standing *standing; /* the same on every loop; lent's */
    unsigned snapshots;        /* that use it */
    struct health health;
    struct pace pace;
    struct desk_stats stats;
    unsigned troubles; /* of the backend, when they were last told */
};

static inline struct desk *desk_of(const struct backend *b)
{
    return b->owner;
}

/* Might a call be sent there, when it has room? */
bool desk_available(const struct backend *b, int64_t now_ms);
/* A call began; hand what it is to desk_ended. */
enum health_call desk_began(const struct backend *b, int64_t now_ns);
void desk_first_byte(const struct backend *b, int64_t ttft_ns, uint64_t input_tokens,
                     int64_t now_ns);
/* It has ended: what that tells of the backend.  may_eject: not too many others are ejected. */
void desk_ended(const struct backend *b, enum health_call call, const struct backend_end *end,
                int64_t now_ns, bool may_eject);
/* Has it said that what it lets us ask is used up until later? */
bool desk_used_up(const struct backend *b, int64_t now_ns);
void desk_count_affinity(const struct backend *b, bool home);
/* Before the backend is closed. */
void desk_close(struct desk *desk);
/* Logs why it cannot be reached, or that it can be again; once for each change. */
void desk_tell_trouble(const struct backend *b);

#endif
