/* gateway/admin_args.h -- dates as operators write them.  Pure; UTC throughout. */
#ifndef MAAS_ADMIN_ARGS_H
#define MAAS_ADMIN_ARGS_H
#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

#define HOUR_US (INT64_C(3600) * 1000000)
#define DAY_US  (24 * HOUR_US)

/* "2026-11-24" or "2026-11-24T13:00:00Z". */
MUST_CHECK bool admin_read_time(const char *text, int64_t *ret_us);
/* A time as above, or "30d", "12h" from now on; at most ten years ahead, and ahead. */
MUST_CHECK bool admin_read_expiry(const char *text, int64_t now_us, int64_t *ret_us);
/* The first moment of now's month. */
int64_t admin_month_start(int64_t now_us);
#endif
