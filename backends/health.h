/* backends/health.h -- is a backend worth sending work to?  Outlier ejection.
 *
 * Five failures in a row eject a backend for 30 s, then 60 s, 90 s, ... up to ten
 * times as long when it fails again soon.  When the time is over one call, the
 * probe, is let through: its success brings the backend back, its failure ejects
 * it anew.  Calls that began before the ejection do not count any more, so one
 * burst of failures is one ejection.  A backend may be used although it is ejected
 * (a panic, or nobody else is left): success brings it back then, too.  Pure: the
 * clock is passed in.
 */
#ifndef MAAS_HEALTH_H
#define MAAS_HEALTH_H
#include <stdbool.h>
#include <stdint.h>

enum {
    HEALTH_FAILURES_MAX = 5,
    HEALTH_EJECTION_MS = 30 * 1000,
    HEALTH_EJECTIONS_MAX = 10, /* the longest ejection is so many times the first */
};

struct health {           /* all zero: healthy */
    uint32_t eject_after; /* failures in a row; 0: HEALTH_FAILURES_MAX */
    int64_t ejection_ms;  /* of the first ejection; 0: HEALTH_EJECTION_MS */
    uint32_t failures;    /* in a row */
    uint32_t ejections;   /* in near succession */
    bool ejected;
    bool probing;     /* the one call of the half-open state is under way */
    int64_t until_ms; /* of the ejection */
    int64_t restored_ms;
};

enum health_verdict {
    HEALTH_UNKNOWN, /* given up before it could show: the client left */
    HEALTH_GOOD,    /* it answered, be it with a refusal */
    HEALTH_BAD,     /* it did not answer, or with an error of its own */
};

enum health_call {
    HEALTH_PLAIN,
    HEALTH_TRIAL, /* begun although the backend was ejected */
    HEALTH_PROBE, /* the one call that decides when the ejection is over */
};

bool health_available(const struct health *h, int64_t now_ms);
/* A call begins; hand what it is back at its end. */
enum health_call health_begin(struct health *h, int64_t now_ms);
/* may_eject false: too many others are ejected; the failures still count.  True: it was ejected now. */
bool health_end(struct health *h, enum health_call call, enum health_verdict verdict,
                int64_t now_ms, bool may_eject);
#endif
