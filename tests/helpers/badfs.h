/* tests/helpers/badfs.h -- a disk that fails on demand, under SQLite.
 *
 * Connections that are opened after badfs_install go through it.  It has to lie under the layers of
 * base/db_open.c, so tests/unit/main.c installs it first of all.  Threads may use what is open;
 * breaking and healing is for the one thread that tests.
 */
#ifndef MAAS_TEST_BADFS_H
#define MAAS_TEST_BADFS_H

enum badfs_call { BADFS_WRITE, BADFS_SYNC, BADFS_READ, BADFS_CALLS };

void badfs_install(void);
/* The nth call of that kind from now on answers `rc` instead of being done, and so do all
 * later ones until badfs_heal: a broken disk stays broken. */
void badfs_break(enum badfs_call call, unsigned nth, int rc);
void badfs_heal(void);
/* How often that kind was called since the last badfs_break or badfs_heal. */
unsigned badfs_count(enum badfs_call call);
#endif
