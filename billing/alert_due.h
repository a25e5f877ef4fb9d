/* billing/alert_due.h -- alerts on their way: what is to be delivered, and how it went.
 *
 * Reading is by any connection; what writes runs on the ledger thread inside its
 * transaction (a ledger_call).  The bytes of an event follow from its row alone, so
 * every attempt sends the same ones under the same id.
 */
#ifndef MAAS_ALERT_DUE_H
#define MAAS_ALERT_DUE_H
#include "base/buf.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct catalog_alerts;
struct db;

enum { ALERT_ID_BYTES = 40, ALERT_WEBHOOK_BYTES = 64, ALERT_ERROR_BYTES = 200 };

struct alert_due {
    int64_t alert;
    char webhook[ALERT_WEBHOOK_BYTES];
    int64_t attempts; /* that failed */
    int64_t due_us;
    char id[ALERT_ID_BYTES]; /* of the event: "evt_" and 32 hexadecimal digits */
};

/* What waits longest for a webhook.  NOT_FOUND: nothing does. */
MUST_CHECK enum status alert_next(struct db *db, const char *webhook, struct alert_due *ret);
/* How many wait for it. */
MUST_CHECK enum status alert_waiting(struct db *db, const char *webhook, int64_t *ret);
/* Adds the event as JSON. */
MUST_CHECK enum status alert_body(struct db *db, int64_t alert, struct buf *out);

enum alert_outcome { ALERT_DELIVERED, ALERT_FAILED, ALERT_REFUSED };
/* How an attempt went: delivered; failed, so that it waits for another while there are any; or refused
 * for good.  `error` says how it failed.  *ret_given_up: no more is tried.  NOT_FOUND: it does not
 * wait any more. */
MUST_CHECK enum status alert_note(struct db *db, const struct alert_due *d,
                                  const struct catalog_alerts *rules, enum alert_outcome outcome,
                                  const char *error, int64_t now_us, bool *ret_given_up);
/* How long after the n-th failure (1 ..) the next attempt is due. */
int64_t alert_wait_us(const struct catalog_alerts *rules, int64_t failures);

struct alert_query {
    const char *webhook, *state, *organization; /* NULL: any */
    int64_t limit;
};
/* {"object":"list","data":[{"alert","id","type","organization","project","percent","limit","spent",
 * "at","deliveries":[{"webhook","state","attempts","next_attempt","ended_at","last_error"}]}],
 * "has_more"}, newest first.  NOT_FOUND: no such organization. */
MUST_CHECK enum status alert_list(struct db *db, const struct alert_query *q, json_t **ret);

/* Due again at once, as if it were new; a webhook that was not told is told now.  webhook NULL: those
 * that were.  NOT_FOUND: no such alert, or it has no delivery. */
MUST_CHECK enum status alert_redeliver(struct db *db, int64_t alert, const char *webhook,
                                       int64_t now_us, int64_t *ret_count);
#endif
