/* gateway/courier.h -- carries alerts to their webhooks, by a thread of its own.
 *
 * What is to be delivered stands in the store (billing/alert_due.h); the courier takes
 * what is due, one event at a time for each webhook, signs it, posts it and has the
 * ledger note how it went.  It keeps nothing that a crash could take: what was not noted
 * is sent again, under the same id.  A receiver that is slow or dead keeps up its own
 * events and nothing else.
 *
 * Signed by Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature.
 */
#ifndef MAAS_COURIER_H
#define MAAS_COURIER_H
#include "base/json.h"
#include <stdatomic.h>
#include <stdint.h>

struct admin_job;
struct catalog;
struct courier;
struct daemon;
struct db;

/* Starts the thread.  Needs the ledger.  err: one sentence. */
MUST_CHECK enum status courier_open(struct daemon *d, struct courier **ret, char err[static 256]);
/* From now on these alerts; main thread. */
MUST_CHECK enum status courier_configure(struct courier *c, struct catalog *catalog);
/* Any thread: there may be something to deliver. */
void courier_wake(struct courier *c);
/* Ends the thread and the tests that run; the ledger goes on. */
void courier_stop(struct courier *c); /* NULL is fine */
/* After the ledger is closed. */
void courier_free(struct courier *c);

/* Any thread.  waiting: of the webhooks that are configured. */
struct courier_stats {
    _Atomic uint64_t delivered, failed, given_up, waiting;
};
const struct courier_stats *courier_stats(const struct courier *c);

/* `alert.test`, an ADMIN_LATER command: one event that stands for nothing, told step by step. */
extern const struct json_spec courier_test_args[];
MUST_CHECK enum status courier_test(struct admin_job *job, struct db *db, int64_t now_us);
#endif
