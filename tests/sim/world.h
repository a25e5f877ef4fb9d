/* tests/sim/world.h -- a ledger on the simulated disk, with a model of what it has promised.
 *
 * One thread, virtual time, everything drawn from the disk's dice: organizations with funds,
 * without, prepaid, with a price book of their own, a reseller with two customers; holds of one leg
 * and of two, growth, checkpoints, settlements, grants, budgets, price books that two people
 * publish, month ends, issued invoices, alerts and their delivery.  What the ledger said is
 * committed is a promise; what it was committing when the power went may be there or not, but whole.
 *
 *   founding.c   who buys, and from whom          requests.c   what is asked of the ledger
 *   prices.c     what who pays when               memory.c     the model against memory
 *   world.c      batches                          check.c      the model against the store
 *   damage.c     flipped bits
 */
#ifndef MAAS_SIM_WORLD_H
#define MAAS_SIM_WORLD_H
#include <stdbool.h>
#include <stdint.h>

struct world_stats {
    uint64_t batches, holds, settles, refused, starts, orphans, invoices;
    uint64_t resold, refused_resold, orphans_resold, notes, grown, grown_resold, books, budgets,
        alerts, cut_starts, unacknowledged;
};
extern struct world_stats world_stats;

/* A new store with its organizations; normal: with synchronous=NORMAL, to see that the test bites. */
void world_create(bool normal);
/* Runs one batch of random operations; false: the disk failed or the power went. */
bool world_batch(void);
void world_close(void);
/* Opens after a cut and recovers, as far as the power lasts. */
void world_try_start(bool normal);
/* Opens after a cut, recovers, and compares with every promise; the number of violations since the
 * store was created. */
unsigned world_open_and_check(bool normal);
/* What became of a store that was damaged while it was closed. */
enum world_flip { FLIP_REFUSED, FLIP_FOUND, FLIP_HARMLESS, FLIP_SILENT };
void world_remember_sums(void); /* while it is open and good */
enum world_flip world_look_at_damage(void);
/* The last few violations, as sentences. */
const char *world_report(void);
#endif
