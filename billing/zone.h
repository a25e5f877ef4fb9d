/* billing/zone.h -- a contract's time zone: where its months begin and end.
 *
 * Read from the system's time zone data (TZif, RFC 9636) by name, "Europe/Berlin";
 * the C library's own functions know one zone a process.  "UTC" needs no file.
 * Immutable once read; may be shared between threads.
 */
#ifndef MAAS_ZONE_H
#define MAAS_ZONE_H
#include "base/status.h"
#include <stdint.h>

struct zone;

enum { ZONE_NAME_BYTES = 64 };

/* NOT_FOUND: no such zone (or no data on this machine); BAD_FIELD: no name of a zone;
 * STORE_FAILED: its data cannot be read, or does not reach far enough ahead (2037). */
MUST_CHECK enum status zone_open(const char *name, struct zone **ret);
void zone_free(struct zone *z); /* NULL is fine */
const char *zone_name(const struct zone *z);

/* Seconds to add to UTC at that instant. */
int32_t zone_offset(const struct zone *z, int64_t us);
/* The month of local time that us lies in, as instants: half-open. */
void zone_month(const struct zone *z, int64_t us, int64_t *ret_from_us, int64_t *ret_to_us);
/* The first instant of a local day; month 1..12, day 1.. (overflow runs on, as in timegm). */
int64_t zone_day(const struct zone *z, int year, int month, int day);
/* The local calendar day of an instant. */
void zone_date(const struct zone *z, int64_t us, int *ret_year, int *ret_month, int *ret_day);
/* The same as text, "2026-12-01".  Returns buf. */
enum { ZONE_DAY_BYTES = 32 };
char *zone_day_text(const struct zone *z, int64_t us, char buf[static ZONE_DAY_BYTES]);
/* Local days from the one that an instant lies in to the one that another lies in. */
int64_t zone_days(const struct zone *z, int64_t from_us, int64_t to_us);
#endif
