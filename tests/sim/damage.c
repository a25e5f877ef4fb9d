/* tests/sim/damage.c -- what becomes of a store in which a bit was flipped: world.h. */
#include "base/db.h"
#include "tests/sim/world_inside.h"
#include <assert.h>
#include <string.h>

static const char sql_sums[] =
    "SELECT (SELECT count(*) || ',' || sum(amount_atoms) || ',' || sum(rid) || ',' || sum(project)"
    "  FROM settlement) || ';' || (SELECT sum(hold_atoms) || ',' || sum(rid) FROM request_open)"
    " || ';' || (SELECT count(*) || ',' || sum(amount_atoms) || ',' || sum(rid) || ',' ||"
    "  sum(project) FROM resale)"
    " || ';' || (SELECT sum(hold_atoms) || ',' || sum(rid) FROM resale_hold)"
    " || ';' || (SELECT group_concat(posted_atoms) FROM account_balance)"
    " || ';' || (SELECT sum(qty) || ',' || sum(atoms) || ',' || sum(covered_atoms) FROM usage_rollup)"
    " || ';' || (SELECT coalesce(group_concat(amount_atoms || kind || organization), '') FROM fund)"
    " || ';' || (SELECT group_concat(credit_atoms || plan || starts_us) FROM contract)"
    " || ';' || (SELECT group_concat(budget_atoms || ifnull(wholesale, '')) FROM project)"
    " || ';' || (SELECT group_concat(text) FROM price_version)"
    " || ';' || (SELECT coalesce(group_concat(owner || type || threshold || spent_atoms), '')"
    "  FROM alert)"
    " || ';' || (SELECT coalesce(group_concat(body), '') FROM document)"
    " || ';' || (SELECT coalesce(sum(amount_atoms), 0) FROM charge)";

static char sums_before[1 << 20];

static bool read_sums(char *ret, size_t room)
{
    struct db_stmt *s = db_prepare(world.db, sql_sums);
    const char *text = s && db_step(s) == DB_ROW ? db_col_text(s, 0, NULL) : NULL;
    bool ok = text && strlen(text) < room;
    if (ok)
        memcpy(ret, text, strlen(text) + 1);
    if (s)
        db_reset(s);
    return ok;
}

void world_remember_sums(void)
{
    bool ok = read_sums(sums_before, sizeof sums_before);
    assert(ok);
}

static bool audit_complains(void)
{
    unsigned before = world_violations();
    check_audit();
    bool found = world_violations() > before;
    world_forget_violations(before);
    return found;
}

enum world_flip world_look_at_damage(void)
{
    static char now[1 << 20];
    enum world_flip what = FLIP_HARMLESS;
    world_forget_violations(world_violations());
    if (!world_open_db(false) || db_quick_check(world.db, world.err) != STATUS_OK ||
        !world_open_books())
        what = FLIP_REFUSED;
    else if (audit_complains())
        what = FLIP_FOUND;
    else if (!read_sums(now, sizeof now) || strcmp(now, sums_before) != 0)
        what = FLIP_SILENT;
    world_close();
    return what;
}
