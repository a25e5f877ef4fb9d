/* tests/sim/world.h -- a ledger on the simulated disk, with a model of what it has promised.
 *
 * One thread, virtual time, everything drawn from the disk's dice: organisations with
 * funds, without, prepaid; holds, settlements, grants, top-ups, month ends, issued
 * invoices.  What the ledger said is committed is a promise; what it was committing
 * when the power went may be there or not, but whole.
 */
#ifndef MAAS_SIM_WORLD_H
#define MAAS_SIM_WORLD_H
#include <stdbool.h>
#include <stdint.h>

enum { WORLD_ORGS = 4 };

struct world_stats {
    uint64_t batches, holds, settles, refused, starts, orphans, invoices;
};
extern struct world_stats world_stats;

/* A new store with its organisations; normal: with synchronous=NORMAL, to see that the test bites. */
void world_create(bool normal);
/* Runs one batch of random operations; false: the disk failed or the power went. */
bool world_batch(void);
void world_close(void);
/* Opens after a cut, recovers, and compares with every promise; the number of violations. */
unsigned world_open_and_check(bool normal);
/* What became of a store that was damaged while it was closed. */
enum world_flip { FLIP_REFUSED, FLIP_FOUND, FLIP_HARMLESS, FLIP_SILENT };
void world_remember_sums(void); /* while it is open and good */
enum world_flip world_look_at_damage(void);
/* The last few violations, as sentences. */
const char *world_report(void);
#endif
