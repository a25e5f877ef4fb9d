/* gateway/probe.h -- `backend.test`: one request to one backend, by the driver and the
 * configuration that serve customers, told step by step.
 *
 * It goes past the pipeline: there is no key, no hold and no bill, so no customer
 * pays.  The backend counts it like any call, and its health learns from it.
 */
#ifndef MAAS_PROBE_H
#define MAAS_PROBE_H
#include "gateway/admin_job.h"

enum { PROBE_TIMEOUT_MS = 20 * 1000, PROBE_TIMEOUT_MS_MAX = 10 * 60 * 1000 };

extern const struct json_spec probe_args[];

/* Main thread.  OK: a loop has it now and ends the job; anything else: it has not begun. */
enum status probe_run(struct admin_job *job, struct db *db, int64_t now_us);

/* The steps that were tried, as a list; NULL: no memory. */
struct trace;
json_t *probe_steps(const struct trace *t);

#endif
