/* gateway/status_report.h -- what `maasgate status` and the metrics say of the
 * running process.  Any thread but a loop's: the loops are asked and waited for. */
#ifndef MAAS_STATUS_REPORT_H
#define MAAS_STATUS_REPORT_H
#include <jansson.h>

struct daemon;

/* [{"name","transport","address","loops","up","running","started","ok","failed",..}], summed over the loops. */
json_t *status_backends(struct daemon *d);
/* {"version","ready","draining","uptime_seconds","connections","ledger":{..},"loops":[..],"backends":[..]} */
json_t *daemon_status(struct daemon *d);

#endif
