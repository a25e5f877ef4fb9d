/* gateway/checkpoint.h -- tells the ledger how far a stream has come (billing/checkpoint.h). */
#ifndef MAAS_GATEWAY_CHECKPOINT_H
#define MAAS_GATEWAY_CHECKPOINT_H
#include <stdbool.h>

struct ledger_settle;
struct request;

/* Every half second, of a request whose answer is a stream: a checkpoint when it is time for one
 * and something was sent since the last. */
void checkpoint_tick(struct request *r);

/* stage_meter.c: lines, amount and models of what was certainly sent, as if the daemon died
 * now; of prices that depend on the period's count as the first of its period, and recovery rates it
 * again.  False: it cannot be rated. */
bool meter_so_far(struct request *r, struct ledger_settle *ret);

#endif
