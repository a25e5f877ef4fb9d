/* tests/sim/disk.h -- a disk in memory that can lose power and fail, as SQLite's VFS.
 *
 * What was written is only safe after a sync.  At a power cut each sector that was
 * written since may be there, be missing, or be torn in the middle, in any
 * combination: writes that were not synced have no order.  A fault makes the nth
 * call of a kind fail, once or from then on.  One thread at a time (a mutex keeps
 * the rest out); seeded, so a run can be repeated.
 */
#ifndef MAAS_SIM_DISK_H
#define MAAS_SIM_DISK_H
#include <stdbool.h>
#include <stdint.h>

enum disk_call { DISK_WRITE, DISK_SYNC, DISK_TRUNCATE, DISK_SHM, DISK_CALLS };

void disk_install(void); /* becomes the default VFS of the process */
void disk_seed(uint64_t seed);
uint64_t disk_random(void);
void disk_format(void); /* an empty disk; nothing may be open */

/* The nth call of the kind from now on fails with SQLite's code rc; sticky: all after it, too.
 * nth 0: no fault. */
void disk_fail(enum disk_call call, unsigned nth, int rc, bool sticky);
bool disk_fault_fired(void);

/* Cut: every call fails from now on, until disk_power_on puts together what is left. */
void disk_power_off(void);
/* Power goes off by itself at the nth write or sync from now on. */
void disk_power_off_at(unsigned nth);
bool disk_is_off(void);
/* Lost and torn sectors as the seed wills; whatever is still open must be closed before. */
void disk_power_on(void);

/* Flips one bit of the file whose name ends so; false: there is no such file or byte. */
bool disk_flip(const char *name_end, uint64_t byte, unsigned bit);
uint64_t disk_size(const char *name_end);
/* Copies that file to a real one, for programs that know nothing of this disk. */
bool disk_save(const char *name_end, const char *path);
/* A copy of everything, to come back to; the disk keeps one. */
void disk_snapshot(void);
void disk_restore(void);
#endif
