/* backends/health.h -- is a backend worth sending work to?  Outlier ejection.
 *
 * Five failures in a row eject a backend for 30 s, then 60 s, 90 s, ... up to
 * 300 s when it fails again soon.  When the time is over one call, the probe, is
 * let through: its success brings the backend back, its failure ejects it anew.
 * Calls that began before the ejection do not count any more, so one burst of
 * failures is one ejection.  Pure: the clock is passed in.
 */
#ifndef MAAS_HEALTH_H
#define MAAS_HEALTH_H
#include <stdbool.h>
#include <stdint.h>

enum {
    HEALTH_FAILURES_MAX = 5,
    HEALTH_EJECTION_MS = 30 * 1000,
    HEALTH_EJECTION_MS_MAX = 300 * 1000,
};

struct health {         /* all zero: healthy */
    unsigned failures;  /* in a row */
    unsigned ejections; /* in near succession */
    bool ejected;
    bool probing;     /* the one call of the half-open state is under way */
    int64_t until_ms; /* of the ejection */
    int64_t restored_ms;
};

enum health_verdict {
    HEALTH_GOOD,    /* it answered, be it with a refusal */
    HEALTH_BAD,     /* it did not answer, or with an error of its own */
    HEALTH_UNKNOWN, /* given up before it could show: the client left */
};

bool health_available(const struct health *h, int64_t now_ms);
/* A call begins; only when available.  True: it is the probe; hand that back at its end. */
bool health_begin(struct health *h, int64_t now_ms);
void health_end(struct health *h, bool probe, enum health_verdict verdict, int64_t now_ms);
#endif
