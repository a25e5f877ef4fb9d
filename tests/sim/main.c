/* tests/sim/main.c -- power cuts, failing disks and flipped bits for the ledger, seeded.
 *
 *   sim power CUTS [SEED]     CUTS power cuts at random writes and syncs: nothing that was
 *                             acknowledged is lost or doubled, the audit is clean after each;
 *                             then a control run with synchronous=NORMAL, which must lose some
 *   sim fail [STEP]           every STEP-th write, sync, truncate and mapping of a run fails,
 *                             once and for good: what was acknowledged is there after a restart
 *   sim flip [STEP]           a bit of every STEP-th 64 bytes of the store is flipped: the start
 *                             refuses it, or the audit finds it, or no sum has changed
 *
 * The last line is `N passed, N failed`; a failure prints its seed.  MAASGATE_STORES=DIR keeps what
 * each store was at the end, for tests/oracle/invariants.py --all DIR.
 */
#include "tests/sim/disk.h"
#include "tests/sim/world.h"
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CUTS_A_STORE = 25, SCRIPT_BATCHES = 80 };

static unsigned passed, failed;

static void verdict(bool ok, const char *what, uint64_t seed)
{
    passed += ok;
    failed += !ok;
    if (!ok)
        printf("FAILED %s, seed %" PRIu64 ":\n%s", what, seed, world_report());
}

/* Closed, so that all of it is in one file. */
static void keep_store(const char *what)
{
    static unsigned number;
    char path[512];
    const char *dir = getenv("MAASGATE_STORES");
    if (!dir)
        return;
    snprintf(path, sizeof path, "%s/%s-%05u.db", dir, what, number++);
    if (!disk_save(".db", path))
        verdict(false, "a store could not be kept", number);
}

/* ---- power cuts ---------------------------------------------------------------------------- */

static void cut(void)
{
    disk_power_off();
    world_close();
    disk_power_on();
}

/* Runs until the power goes, one time in four once more while it recovers, then looks at what is
 * left; the number of violations. */
static unsigned cut_once(bool normal)
{
    disk_power_off_at(1 + (unsigned)(disk_random() % (disk_random() % 4 ? 120 : 2000)));
    while (world_batch())
        ;
    cut();
    while (disk_random() % 4 == 0) {
        disk_power_off_at(1 + (unsigned)(disk_random() % 4));
        world_try_start(normal);
        cut();
    }
    return world_open_and_check(normal);
}

static unsigned cut_a_store(bool normal, unsigned cuts)
{
    unsigned violations = 0;
    world_create(normal);
    for (unsigned i = 0; i < cuts && !violations; i++)
        violations += cut_once(normal);
    world_close();
    if (!normal)
        keep_store("power");
    return violations;
}

static void power(unsigned cuts, uint64_t seed)
{
    unsigned control = 0, controls = 0;
    for (unsigned done = 0; done < cuts; done += CUTS_A_STORE, seed++) {
        disk_seed(seed);
        verdict(cut_a_store(false, CUTS_A_STORE) == 0, "power", seed);
        if (done % 2500 == 0 && done)
            fprintf(stderr, "sim: %u of %u cuts\n", done, cuts);
    }
    for (; control == 0 && controls < 200; controls++, seed++) {
        disk_seed(seed);
        control += cut_a_store(true, CUTS_A_STORE);
    }
    printf("power: %u cuts, 0 of them may lose; with synchronous=NORMAL a loss after %u\n", cuts,
           controls * CUTS_A_STORE);
    const struct world_stats *w = &world_stats;
    printf("power: %" PRIu64 " batches, %" PRIu64 " holds, %" PRIu64 " settlements, %" PRIu64
           " refused, %" PRIu64 " orphans, %" PRIu64 " invoices, %" PRIu64 " starts, %" PRIu64
           " of them cut, %" PRIu64 " batches there that nobody was told of\n",
           w->batches, w->holds, w->settles, w->refused, w->orphans, w->invoices, w->starts,
           w->cut_starts, w->unacknowledged);
    printf("power: of two legs %" PRIu64 " holds, %" PRIu64 " refused, %" PRIu64
           " orphans, %" PRIu64 " grown; %" PRIu64 " grown holds, %" PRIu64 " checkpoints, %" PRIu64
           " budgets, %" PRIu64 " price books, %" PRIu64 " alerts sent\n",
           w->resold, w->refused_resold, w->orphans_resold, w->grown_resold, w->grown, w->notes,
           w->budgets, w->books, w->alerts);
    verdict(control > 0, "control: synchronous=NORMAL never lost anything, so the test is blind",
            seed);
}

/* ---- failing calls ------------------------------------------------------------------------- */

struct kind {
    enum disk_call call;
    int rc;
    const char *name;
};
static const struct kind kinds[] = {
    { DISK_WRITE, SQLITE_IOERR, "write" }, { DISK_WRITE, SQLITE_FULL, "write, full" },
    { DISK_SYNC, SQLITE_IOERR, "sync" },   { DISK_TRUNCATE, SQLITE_IOERR, "truncate" },
    { DISK_SHM, SQLITE_IOERR, "mapping" },
};

/* False: the script has fewer calls of this kind, so the fault did not fire. */
static bool fail_once(const struct kind *k, unsigned nth, bool sticky)
{
    disk_seed(7);
    world_create(false);
    disk_fail(k->call, nth, k->rc, sticky);
    bool goes_on = true;
    for (int i = 0; i < SCRIPT_BATCHES && goes_on; i++)
        goes_on = world_batch();
    bool fired = disk_fault_fired();
    disk_fail(k->call, 0, 0, false);
    world_close();
    disk_power_off();
    disk_power_on();
    bool ok = world_open_and_check(false) == 0;
    world_close();
    keep_store("fail");
    if (!ok)
        printf("the %uth %s failed%s\n", nth, k->name, sticky ? " and all after it" : "");
    verdict(ok, "fail", nth);
    return fired;
}

static void fail(unsigned step)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        unsigned points = 0;
        for (unsigned nth = 1; fail_once(&kinds[i], nth, false); nth += step)
            points += fail_once(&kinds[i], nth, true);
        printf("fail: %s: %u points, once and for good\n", kinds[i].name, points);
    }
}

/* ---- flipped bits -------------------------------------------------------------------------- */

static void flip(unsigned step)
{
    unsigned refused = 0, found = 0, harmless = 0;
    disk_seed(11);
    world_create(false);
    for (int i = 0; i < SCRIPT_BATCHES; i++)
        world_batch();
    world_close();
    disk_power_off();
    disk_power_on();
    bool clean = world_open_and_check(false) == 0;
    world_remember_sums();
    world_close(); /* the checkpoint at the end puts all into the database */
    verdict(clean, "flip", 11);
    disk_snapshot();
    uint64_t size = disk_size(".db");
    for (uint64_t at = 0; at < size; at += 64 * (uint64_t)step) {
        disk_restore();
        disk_flip(".db", at + disk_random() % 64, (unsigned)(disk_random() % 8));
        enum world_flip what = world_look_at_damage();
        refused += what == FLIP_REFUSED;
        found += what == FLIP_FOUND;
        harmless += what == FLIP_HARMLESS;
        verdict(what != FLIP_SILENT, "flip: a sum changed and nobody saw it", at);
    }
    printf("flip: %" PRIu64 " bytes: %u refused at the start, %u found by the audit, %u without"
           " effect on money\n",
           size, refused, found, harmless);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    unsigned number = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    disk_install();
    if (strcmp(mode, "power") == 0)
        power(number, seed);
    else if (strcmp(mode, "fail") == 0)
        fail(number ? number : 1);
    else if (strcmp(mode, "flip") == 0)
        flip(number ? number : 1);
    else
        return fprintf(stderr, "usage: sim power CUTS [SEED] | fail [STEP] | flip [STEP]\n"), 2;
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed ? EXIT_FAILURE : EXIT_SUCCESS;
}
