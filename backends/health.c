/* backends/health.c -- see health.h: closed, ejected, half-open, and back. */
#include "backends/health.h"
#include <assert.h>

bool health_available(const struct health *h, int64_t now_ms)
{
    return !h->ejected || (!h->probing && now_ms >= h->until_ms);
}

bool health_begin(struct health *h, int64_t now_ms)
{
    assert(health_available(h, now_ms));
    if (h->ejected)
        h->probing = true;
    return h->ejected;
}

/* A backend that was well for as long as the longest ejection starts afresh. */
static void eject(struct health *h, int64_t now_ms)
{
    if (now_ms - h->restored_ms > HEALTH_EJECTION_MS_MAX && !h->ejected)
        h->ejections = 0;
    if (h->ejections < HEALTH_EJECTION_MS_MAX / HEALTH_EJECTION_MS)
        h->ejections++;
    h->ejected = true;
    h->failures = 0;
    h->until_ms = now_ms + (int64_t)h->ejections * HEALTH_EJECTION_MS;
}

static void end_probe(struct health *h, enum health_verdict verdict, int64_t now_ms)
{
    h->probing = false;
    if (verdict == HEALTH_BAD)
        eject(h, now_ms);
    if (verdict != HEALTH_GOOD)
        return;
    h->ejected = false;
    h->restored_ms = now_ms;
}

void health_end(struct health *h, bool probe, enum health_verdict verdict, int64_t now_ms)
{
    if (probe) {
        assert(h->probing);
        end_probe(h, verdict, now_ms);
        return;
    }
    if (h->ejected || verdict == HEALTH_UNKNOWN)
        return;
    h->failures = verdict == HEALTH_GOOD ? 0 : h->failures + 1;
    if (h->failures == HEALTH_FAILURES_MAX)
        eject(h, now_ms);
}
