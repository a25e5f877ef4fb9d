/* billing/period.h -- hours and months of the ledger's clock, UTC, as half-open
 * intervals of microseconds. */
#ifndef MAAS_PERIOD_H
#define MAAS_PERIOD_H
#include <stdint.h>

#define HOUR_US (INT64_C(3600) * 1000000)
#define DAY_US  (24 * HOUR_US)

int64_t period_hour(int64_t us); /* the start of the hour it lies in */
void period_month(int64_t us, int64_t *ret_from_us, int64_t *ret_to_us);

/* "2026-11-30T23:59:59Z".  Returns buf. */
enum { PERIOD_TEXT_BYTES = 32 };
char *period_instant_text(int64_t us, char buf[static PERIOD_TEXT_BYTES]);
#endif
