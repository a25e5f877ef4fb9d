/* gateway/probe_parts.h -- what the files of the probe share; no other includes it.
 *
 * probe.c         its life: main thread, loop, back
 * probe_order.c   which model is asked, and what
 * probe_report.c  what is said of it
 */
#ifndef MAAS_PROBE_PARTS_H
#define MAAS_PROBE_PARTS_H
#include "backends/trace.h"
#include "base/buf.h"
#include "gateway/desk.h"
#include "gateway/loop.h"
#include "gateway/probe.h"

enum { PROBE_BODY_BYTES_MAX = 1 << 20 };

struct probe { /* the job's arena's; on one thread at a time */
    struct loop_message message;
    struct admin_job *job;
    /* Borrowed from the catalog, which the generation keeps. */
    struct generation *generation;
    const struct catalog_backend *conf;
    const struct catalog_model *model;
    const struct catalog_route *route;
    enum capability capability;
    struct buf body;
    struct backend_order order;
    /* On the loop. */
    struct loop *loop;
    struct snapshot *snapshot;
    struct backend *backend;
    struct backend_call *call;
    enum health_call health_call;
    uv_timer_t tick;
    int64_t begun_ms, started_ns, first_byte_ns;
    bool ended;
    uint64_t bytes, events;
    struct backend_end end;
    struct trace trace;
};

/* probe_order.c: fills conf, model, route, capability, body and order.  Refuses with a sentence. */
MUST_CHECK enum status probe_choose(struct probe *p, const struct catalog *c);

/* probe_report.c */
void probe_judge(struct probe *p);           /* the steps `answer` and `usage` */
json_t *probe_report(const struct probe *p); /* NULL: no memory */

#endif
