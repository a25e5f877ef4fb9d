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
 * now.  False: there is no saying (prices that depend on the period's count). */
bool meter_so_far(struct request *r, struct ledger_settle *ret);

#endif
