/* conf/catalog_alerts.h -- the part of catalog.h that says who is told what of money that runs low. */
#ifndef MAAS_CATALOG_ALERTS_H
#define MAAS_CATALOG_ALERTS_H
#include "base/digest.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls;

/* Each with the `type` of its event.  By subject, and of each the threshold before the hard stop. */
#define ALERT_TYPES(X)                              \
    X(BUDGET_REACHED, "budget.threshold_reached")   \
    X(BUDGET_STOP, "budget.hard_stop")              \
    X(CREDIT_REACHED, "credit.threshold_reached")   \
    X(CREDIT_STOP, "credit.hard_stop")              \
    X(PREPAID_REACHED, "prepaid.threshold_reached") \
    X(PREPAID_STOP, "prepaid.hard_stop")

enum alert_type {
#define X(NAME, type) ALERT_##NAME,
    ALERT_TYPES(X)
#undef X
        ALERT_TYPE_COUNT
};

enum {
    ALERT_THRESHOLDS_MAX = 8,
    ALERT_WEBHOOKS_MAX = 16,
    ALERT_ORGANIZATIONS_MAX = 1024,
    ALERT_KEYS_MAX = 2, /* the new one and the old one, while receivers change */
};

struct catalog_webhook {
    const char *name, *url;
    const char *secret_file;              /* `whsec_` and base64 */
    struct hmac_key keys[ALERT_KEYS_MAX]; /* what it held at load; each event is signed by all */
    unsigned key_count;
    const char *ca_file, *client_cert_file, *client_key_file; /* "" none; at load in `tls` */
    struct tls *tls;                           /* the catalog's own; NULL without https */
    unsigned types;                            /* a bit for each alert_type */
    const char *const *organizations;          /* slugs, ends with NULL; NULL: of all */
    unsigned thresholds[ALERT_THRESHOLDS_MAX]; /* of the common ones, those that it hears of */
    unsigned threshold_count;                  /* 0: of all */
};

struct catalog_alerts {
    unsigned thresholds[ALERT_THRESHOLDS_MAX]; /* percent, ascending */
    unsigned threshold_count;
    uint64_t timeout_ms; /* of one attempt */
    uint64_t retry_ms; /* before the second attempt; four times as long before each that follows */
    uint32_t attempts;
    struct catalog_webhook *webhooks; /* sorted by name */
    size_t webhook_count;             /* 0: no alerts are wanted */
};

const char *alert_type_name(enum alert_type t);
/* Whether it wants to hear of the type, and of the threshold; a hard stop's is 0. */
bool alert_wanted_by(const struct catalog_webhook *w, enum alert_type t, unsigned threshold);
bool alerts_reach(const struct catalog_alerts *a); /* somebody wants to hear of thresholds */
#endif
