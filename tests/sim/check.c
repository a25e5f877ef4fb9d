/* tests/sim/check.c -- what is in the store after a cut and a start, held against what was promised:
 * each leg of each request, what else was acknowledged, alerts, and the audit.
 */
#include "base/db.h"
#include "tests/sim/world_inside.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_BACK = 200 }; /* requests that were settled long ago are looked at no more */

/* ---- a request ----------------------------------------------------------------------------- */

struct found_leg {
    bool held, settled;
    int64_t project, hold, amount, tokens;
};

struct found {
    struct found_leg leg[LEGS_MAX];
    bool orphan;
};

#define LEG(opened, more, settled)                                                      \
    opened ".rid IS NOT NULL, " settled ".rid IS NOT NULL, " opened ".project, " opened \
           ".hold_atoms + (SELECT coalesce(sum(" more "), 0) FROM hold_more m"          \
           " WHERE m.rid = r.rid), " settled ".amount_atoms, (SELECT coalesce(sum("     \
           "json_extract(value, '$[1]')), 0) FROM json_each(" settled ".lines)), "

#define OWN    LEG("o", "atoms", "s")
#define RETAIL LEG("h", "resale_atoms", "x")

static const char sql_request[] =
    "SELECT " OWN RETAIL "s.outcome LIKE 'orphan%'"
    " FROM (SELECT ?1 AS rid) r LEFT JOIN request_open o ON o.rid = r.rid"
    " LEFT JOIN settlement s ON s.rid = r.rid LEFT JOIN resale_hold h ON h.rid = r.rid"
    " LEFT JOIN resale x ON x.rid = r.rid";

static struct found look_up(rid_t rid)
{
    struct db_stmt *s = db_prepare(world.db, sql_request);
    struct found f = { .orphan = false };
    db_int(s, 1, rid);
    if (db_step(s) == DB_ROW) {
        for (int i = 0; i < LEGS_MAX; i++)
            f.leg[i] = (struct found_leg){ db_col_int(s, 6 * i) != 0, db_col_int(s, 6 * i + 1) != 0,
                                           db_col_int(s, 6 * i + 2),  db_col_int(s, 6 * i + 3),
                                           db_col_int(s, 6 * i + 4),  db_col_int(s, 6 * i + 5) };
        f.orphan = db_col_int(s, 6 * LEGS_MAX) != 0;
    } else {
        world_violation("request %" PRId64 " cannot be read: %s", rid, db_error(world.db));
    }
    db_reset(s);
    return f;
}

static int64_t recovered[PROJECTS_MAX]; /* what this start has settled, by project */

/* All of a batch or nothing of it; -1: nothing was seen of it yet. */
static int batch_there;

static void part_of_batch(bool there, const char *what, int64_t id)
{
    if (batch_there >= 0 && batch_there != there)
        world_violation("%s %" PRId64 ": a batch is there in part", what, id);
    world_stats.unacknowledged += there && batch_there < 0;
    batch_there = there;
}

/* Both legs or neither; after recovery none is open. */
static void check_legs(rid_t rid, const struct request *r, const struct found *f)
{
    const struct found_leg *own = &f->leg[0], *retail = &f->leg[1];
    bool resold = r->legs == 2;
    if (own->held != own->settled)
        world_violation("request %" PRId64 " is open after recovery", rid);
    if (retail->held != (own->held && resold) || retail->settled != (own->settled && resold))
        world_violation("request %" PRId64 ": one of two legs is there alone", rid);
    for (unsigned i = 0; i < r->legs && own->held; i++)
        if (f->leg[i].project != r->leg[i].project)
            world_violation("request %" PRId64 ": leg %u is another project's", rid, i);
}

/* What was acknowledged, to the atom; what recovery settled, by what was noted. */
static void check_amounts(rid_t rid, const struct request *r, const struct found *f)
{
    bool new = r->promise != SETTLED && r->promise != ORPHANED;
    for (unsigned i = 0; i < r->legs; i++) {
        const struct found_leg *leg = &f->leg[i];
        int64_t tokens = f->orphan && new ? r->noted : r->tokens;
        if (!leg->settled)
            continue;
        if (leg->tokens != tokens)
            world_violation("request %" PRId64 ": leg %u is billed for %" PRId64
                            " tokens, not %" PRId64,
                            rid, i, leg->tokens, tokens);
        if ((!f->orphan || !new) && leg->amount != r->leg[i].amount)
            world_violation("request %" PRId64 ": leg %u is %" PRId64 ", not %" PRId64, rid, i,
                            leg->amount, r->leg[i].amount);
        if (r->leg[i].unit && leg->amount != leg->tokens * r->leg[i].unit)
            world_violation("request %" PRId64 ": leg %u is not at its price", rid, i);
        if (leg->hold != r->leg[i].held)
            world_violation("request %" PRId64 ": leg %u held %" PRId64 ", not %" PRId64, rid, i,
                            leg->hold, r->leg[i].held);
    }
}

static void check_promise(rid_t rid, const struct request *r, const struct found *f)
{
    bool held = f->leg[0].held, ours = f->leg[0].settled && !f->orphan;
    if (r->promise == SETTLED && !ours)
        world_violation("request %" PRId64 ": its settlement was acknowledged and is lost", rid);
    if (r->promise == ORPHANED && !f->orphan)
        world_violation("request %" PRId64 ": what recovery settled has changed", rid);
    if (r->promise == HELD && !held)
        world_violation("request %" PRId64 ": its hold was acknowledged and is lost", rid);
    if (r->promise == NOTHING && r->maybe == NOTHING && held)
        world_violation("request %" PRId64 " was never asked for", rid);
    if (r->promise == HELD && ours && r->maybe != SETTLED)
        world_violation("request %" PRId64 " was settled by nobody", rid);
}

/* A checkpoint, or growth, alone tells whether its batch is there, when it says something new. */
static void check_batch(rid_t rid, struct request *r, const struct found *f)
{
    bool ours = f->leg[0].settled && !f->orphan;
    if (r->maybe)
        part_of_batch(r->maybe == SETTLED ? ours : f->leg[0].held, "request", rid);
    else if (r->noted_maybe != r->noted)
        part_of_batch(f->leg[0].tokens != r->noted, "the checkpoint of request", rid);
    else if (r->leg[0].hold != r->leg[0].held)
        part_of_batch(f->leg[0].hold != r->leg[0].held, "the growth of request", rid);
    for (unsigned i = 0; i < r->legs && batch_there > 0; i++)
        r->leg[i].held = r->leg[i].hold;
    if (batch_there > 0)
        r->noted = r->noted_maybe;
    r->noted_maybe = r->noted;
    r->leg[0].hold = r->leg[0].held;
    r->leg[1].hold = r->leg[1].held;
}

static void check_request(rid_t rid)
{
    struct request *r = world_request(rid);
    struct found f = look_up(rid);
    check_promise(rid, r, &f);
    check_legs(rid, r, &f);
    check_batch(rid, r, &f);
    check_amounts(rid, r, &f);
    if (f.orphan && r->promise != ORPHANED) {
        r->tokens = r->noted;
        for (unsigned i = 0; i < r->legs; i++)
            recovered[r->leg[i].project] += f.leg[i].amount;
        world_stats.orphans_resold += r->legs == 2;
    }
    r->promise = f.orphan ? ORPHANED : f.leg[0].settled ? SETTLED : NOTHING;
    r->maybe = NOTHING;
    for (unsigned i = 0; i < r->legs; i++)
        r->leg[i].amount = f.leg[i].amount;
}

/* ---- what else was promised ---------------------------------------------------------------- */

static int64_t one_number(const char *sql, const int64_t *bound, int count)
{
    struct db_stmt *s = db_prepare(world.db, sql);
    if (!s)
        return -1;
    for (int i = 0; i < count; i++)
        db_int(s, i + 1, bound[i]);
    int64_t n = db_step(s) == DB_ROW ? db_col_int(s, 0) : -1;
    db_reset(s);
    return n;
}

static void check_tally(struct tally *t)
{
    uint64_t n = (uint64_t)one_number(t->sql, NULL, 0);
    if (n != t->promised && n != t->promised + t->maybe)
        world_violation("%" PRIu64 " %s, %" PRIu64 " were acknowledged", n, t->what, t->promised);
    else if (t->maybe)
        part_of_batch(n != t->promised, t->what, (int64_t)n);
    t->promised = n;
    t->maybe = 0;
}

static void check_limit(int64_t id, struct project *p)
{
    static const char sql[] = "SELECT budget_atoms FROM project WHERE id = ?1";
    int64_t limit = one_number(sql, &id, 1);
    if (limit != p->limit && limit != p->limit_maybe)
        world_violation("%s: its budget of %" PRId64 " is lost", p->slug, p->limit);
    else if (p->limit != p->limit_maybe)
        part_of_batch(limit != p->limit, "the budget of project", id);
    p->limit = p->limit_maybe = limit;
}

/* Once it is known whether the batch is there. */
static void settle_stop(struct project *p)
{
    if (batch_there > 0)
        p->stopped = p->stopped_maybe;
    p->stopped_maybe = p->stopped;
}

/* ---- alerts -------------------------------------------------------------------------------- */

static unsigned crossed(const struct project *p, int64_t spent)
{
    __extension__ typedef __int128 wide;
    unsigned n = 0;
    while (n < world_alerts.threshold_count &&
           (wide)spent * 100 >= (wide)p->limit * world_alerts.thresholds[n])
        n++;
    return n;
}

#define ALERTS_OF(type) \
    "SELECT count(*) FROM alert WHERE type = '" type "' AND owner = ?1 AND limit_atoms = ?2"

static int64_t alerts_of(int64_t id, const struct project *p, enum alert_type type)
{
    static const char *const sql[ALERT_TYPE_COUNT] = {
        [ALERT_BUDGET_REACHED] = ALERTS_OF("budget.threshold_reached"),
        [ALERT_BUDGET_STOP] = ALERTS_OF("budget.hard_stop"),
    };
    return one_number(sql[type], (const int64_t[]){ id, p->limit }, 2);
}

static void check_alerts_of(int64_t id, const struct project *p, unsigned least, unsigned most)
{
    int64_t n = alerts_of(id, p, ALERT_BUDGET_REACHED);
    if (n < least || n > most)
        world_violation("%s: %" PRId64 " alerts of its budget, not %u", p->slug, n, most);
    if (p->stopped && alerts_of(id, p, ALERT_BUDGET_STOP) != 1)
        world_violation("%s: a request was refused and nobody is told", p->slug);
}

/* One for each threshold that was reached under the limit in force.  What recovery settles is looked
 * at in the first batch after it. */
static void check_alerts(bool before_a_batch)
{
    static const char sql_untold[] = "SELECT count(*) FROM alert a WHERE NOT EXISTS"
                                     " (SELECT 1 FROM alert_delivery d WHERE d.alert = a.id)";
    for (int64_t id = 1; id < PROJECTS_MAX; id++) {
        struct project *p = &world.projects[id];
        if (!p->slug)
            continue;
        int64_t new = before_a_batch ? recovered[id] : 0;
        p->crossed = crossed(p, p->spent);
        check_alerts_of(id, p, crossed(p, p->spent - new), p->crossed);
    }
    int64_t untold = one_number(sql_untold, NULL, 0);
    if (untold)
        world_violation("%" PRId64 " alerts go to nobody", untold);
}

void check_new_alerts(void)
{
    for (int64_t id = 1; id < PROJECTS_MAX; id++) {
        struct project *p = &world.projects[id];
        unsigned now = p->slug ? crossed(p, p->spent) : 0;
        if (now != p->crossed)
            check_alerts_of(id, p, now, now);
        p->crossed = now;
    }
}

/* With nothing in it but what the start left to it. */
static bool quiet_batch(void)
{
    world.now_us++;
    books_begin(&world.books, world.now_us);
    enum status s = db_begin(world.db);
    if (!s)
        s = books_end(&world.books);
    if (!s)
        s = db_commit(world.db);
    if (!s)
        books_committed(&world.books);
    else
        world_violation("the first batch after a start fails: %s", db_error(world.db));
    return s == STATUS_OK;
}

/* ---- all of it ----------------------------------------------------------------------------- */

void check_audit(void)
{
    struct db *reader = NULL;
    json_t *result = NULL;
    if (db_open(WORLD_PATH, DB_READER, &reader, world.err) != STATUS_OK ||
        audit_run(reader, world.now_us, &result) != STATUS_OK) {
        world_violation("the audit cannot run: %s", world.err);
    } else if (!json_is_true(json_object_get(result, "ok"))) {
        char *text = json_dumps(json_object_get(result, "problems"), JSON_COMPACT);
        world_violation("audit: %.900s", text ? text : "");
        free(text);
    }
    json_decref(result);
    if (reader)
        db_close(reader);
}

static void check_requests(void)
{
    for (rid_t rid = 1; rid < world.next_rid; rid++) {
        const struct request *r = world_request(rid);
        if ((r->promise != SETTLED && r->promise != ORPHANED) || r->maybe ||
            rid + LOOK_BACK > world.next_rid)
            check_request(rid);
    }
}

/* By the model, now that it knows what became of the batch that was cut. */
static void add_up_spent(void)
{
    for (unsigned i = 0; i < PROJECTS_MAX; i++)
        world.projects[i].spent = 0;
    for (rid_t rid = 1; rid < world.next_rid; rid++) {
        const struct request *r = world_request(rid);
        for (unsigned k = 0; k < r->legs && r->promise != NOTHING; k++)
            world.projects[r->leg[k].project].spent += r->leg[k].amount;
    }
}

static void check_promises(void)
{
    batch_there = -1;
    memset(recovered, 0, sizeof recovered);
    check_requests();
    for (unsigned i = 0; i < TALLIES; i++)
        check_tally(&world.tallies[i]);
    for (int64_t id = 1; id < PROJECTS_MAX; id++)
        if (world.projects[id].slug)
            check_limit(id, &world.projects[id]);
    for (unsigned i = 0; i < PROJECTS_MAX; i++)
        settle_stop(&world.projects[i]);
    add_up_spent();
    world.open_count = world.touched_count = 0;
    if (world.books.last_rid >= world.next_rid)
        world.next_rid = world.books.last_rid + 1;
}

unsigned world_open_and_check(bool normal)
{
    if (!world_open_db(normal) || !world_open_books()) {
        world_violation("the store cannot be opened after the cut: %s", *world.err ? world.err
                                                                        : world.db
                                                                            ? db_error(world.db)
                                                                            : "");
        return world_violations();
    }
    check_promises();
    memory_check();
    check_alerts(true);
    if (quiet_batch())
        check_alerts(false);
    check_audit();
    return world_violations();
}
