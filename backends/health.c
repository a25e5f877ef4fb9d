/* backends/health.c -- see health.h: closed, ejected, half-open, and back. */
#include "backends/health.h"

bool health_available(const struct health *h, int64_t now_ms)
{
    return !h->ejected || (!h->probing && now_ms >= h->until_ms);
}

enum health_call health_begin(struct health *h, int64_t now_ms)
{
    if (!h->ejected)
        return HEALTH_PLAIN;
    if (!health_available(h, now_ms))
        return HEALTH_TRIAL;
    h->probing = true;
    return HEALTH_PROBE;
}

static int64_t first_ejection_ms(const struct health *h)
{
    return h->ejection_ms ? h->ejection_ms : HEALTH_EJECTION_MS;
}

/* A backend that was well for as long as the longest ejection starts afresh. */
static bool eject(struct health *h, int64_t now_ms)
{
    if (!h->ejected && now_ms - h->restored_ms > HEALTH_EJECTIONS_MAX * first_ejection_ms(h))
        h->ejections = 0;
    if (h->ejections < HEALTH_EJECTIONS_MAX)
        h->ejections++;
    h->ejected = true;
    h->failures = 0;
    h->until_ms = now_ms + (int64_t)h->ejections * first_ejection_ms(h);
    return true;
}

static bool end_plain(struct health *h, enum health_verdict verdict, int64_t now_ms, bool may_eject)
{
    uint32_t most = h->eject_after ? h->eject_after : HEALTH_FAILURES_MAX;
    if (verdict == HEALTH_GOOD)
        h->failures = 0;
    else if (h->failures < most)
        h->failures++;
    return h->failures == most && may_eject && eject(h, now_ms);
}

bool health_end(struct health *h, enum health_call call, enum health_verdict verdict,
                int64_t now_ms, bool may_eject)
{
    if (call == HEALTH_PROBE)
        h->probing = false;
    if (verdict == HEALTH_UNKNOWN)
        return false;
    if (!h->ejected)
        return end_plain(h, verdict, now_ms, may_eject);
    if (call == HEALTH_PLAIN)
        return false;
    if (verdict == HEALTH_BAD)
        return call == HEALTH_PROBE && eject(h, now_ms);
    h->ejected = false;
    h->restored_ms = now_ms;
    return false;
}
