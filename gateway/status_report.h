/* gateway/status_report.h -- what `maasgate status` and the metrics say of the
 * running process.  Any thread but a loop's: the loops are asked and waited for. */
#ifndef MAAS_STATUS_REPORT_H
#define MAAS_STATUS_REPORT_H
#include <jansson.h>

struct daemon;

/* [{"name","state","transport","loops","up","running","queue","ttft_ms","started","failed",..}]: counts
 * summed over the loops, times the longest.  A state is up, limited (it asked to be left alone),
 * ejected (on at least one loop), suspect, down, draining, drained, disabling or disabled.
 * *ret_models_down: models that no backend could serve. */
json_t *status_backends(struct daemon *d, size_t *ret_models_down);
/* {"version","ready","draining","uptime_seconds","connections","ledger":{..},"loops":[..],"backends":[..]} */
json_t *daemon_status(struct daemon *d);

#endif
