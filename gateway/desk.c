/* gateway/desk.c -- see desk.h. */
#include "gateway/desk.h"
#include "base/log.h"

bool desk_available(const struct backend *b, int64_t now_ms)
{
    return b && atomic_load_explicit(&b->stats.up, memory_order_relaxed) &&
           health_available(&desk_of(b)->health, now_ms);
}

void desk_tell_trouble(const struct backend *b)
{
    struct desk *desk = desk_of(b);
    char reason[LOG_QUOTE_BYTES];
    if (desk->troubles == b->troubles)
        return;
    desk->troubles = b->troubles;
    if (b->trouble[0])
        log_env("backend_trouble backend=%s reason=%s", b->conf->name,
                log_quote(b->trouble, reason));
    else
        log_info("backend_trouble_over backend=%s", b->conf->name);
}
