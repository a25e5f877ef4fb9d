/* billing/budget.c -- the table of budgets, and the only place that says yes to
 * money.  spent and held together never exceed the limit that was in force when
 * they were admitted, so no sum here can overflow. */
#include "billing/budget.h"
#include "base/db.h"
#include "billing/period.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char sql_projects[] = "SELECT id, budget_atoms, budget_period = 'month' FROM project";
/* Revenue is account 8 * project + 2, and a credit: its negative is what was spent. */
static const char sql_spent_total[] =
    "SELECT (account - 2) / 8, -posted_atoms FROM account_balance WHERE account % 8 = 2";
static const char sql_spent_month[] = "SELECT project, sum(atoms) FROM usage_rollup"
                                      " WHERE hour_us >= ?1 GROUP BY project";

static size_t slot_of(int64_t project, size_t room)
{
    return ((uint64_t)project * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (room - 1);
}

static struct budget *slot_for(struct budget *slots, size_t room, int64_t project)
{
    size_t i = slot_of(project, room);
    while (slots[i].project != 0 && slots[i].project != project)
        i = (i + 1) & (room - 1);
    return &slots[i];
}

static enum status grow(struct budgets *b)
{
    size_t room = b->room ? b->room * 2 : 64;
    struct budget *slots = calloc(room, sizeof *slots);
    if (!slots)
        return STATUS_NO_MEMORY;
    for (size_t i = 0; i < b->room; i++)
        if (b->slots[i].project)
            *slot_for(slots, room, b->slots[i].project) = b->slots[i];
    free(b->slots);
    b->slots = slots;
    b->room = room;
    return STATUS_OK;
}

void budgets_free(struct budgets *b)
{
    free(b->slots);
    *b = (struct budgets){ 0 };
}

static enum status set_limit(struct budgets *b, int64_t project, int64_t limit, bool monthly)
{
    if (b->count * 2 >= b->room) {
        enum status s = grow(b);
        if (s)
            return s;
    }
    struct budget *slot = slot_for(b->slots, b->room, project);
    if (!slot->project)
        b->count++;
    slot->project = project;
    slot->limit = limit;
    slot->monthly = monthly;
    return STATUS_OK;
}

enum status budgets_load(struct budgets *b, struct db *db)
{
    struct db_stmt *s = db_prepare(db, sql_projects);
    if (!s)
        return db_status(db);
    enum status status = STATUS_OK;
    enum db_row row = DB_DONE;
    while (!status && (row = db_step(s)) == DB_ROW)
        status = set_limit(b, db_col_int(s, 0), db_col_int(s, 1), db_col_int(s, 2) != 0);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

/* Puts column 1 of each row into the field at `offset` of the project in column 0. */
static enum status load_field(struct budgets *b, struct db *db, struct db_stmt *s, size_t offset)
{
    enum db_row row;
    while ((row = db_step(s)) == DB_ROW) {
        struct budget *slot = budget_find(b, db_col_int(s, 0));
        int64_t value = db_col_int(s, 1);
        if (slot)
            memcpy((char *)slot + offset, &value, sizeof value);
    }
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status;
}

enum status budgets_load_spent(struct budgets *b, struct db *db, int64_t now_us)
{
    struct db_stmt *total = db_prepare(db, sql_spent_total);
    struct db_stmt *month = db_prepare(db, sql_spent_month);
    if (!total || !month)
        return db_status(db);
    int64_t from_us;
    period_month(now_us, &from_us, &b->month_end_us);
    db_int(month, 1, from_us);
    enum status s = load_field(b, db, total, offsetof(struct budget, spent_total));
    return s ? s : load_field(b, db, month, offsetof(struct budget, spent_month));
}

void budgets_roll(struct budgets *b, int64_t now_us)
{
    if (now_us < b->month_end_us)
        return;
    int64_t from_us;
    period_month(now_us, &from_us, &b->month_end_us);
    for (size_t i = 0; i < b->room; i++)
        b->slots[i].spent_month = 0;
}

struct budget *budget_find(struct budgets *b, int64_t project)
{
    if (!b->room || project <= 0)
        return NULL;
    struct budget *slot = slot_for(b->slots, b->room, project);
    return slot->project ? slot : NULL;
}

bool budget_hold(struct budget *b, int64_t atoms)
{
    assert(atoms >= 0);
    int64_t spent = b->monthly ? b->spent_month : b->spent_total;
    int64_t taken;
    if (__builtin_add_overflow(spent, b->held, &taken) ||
        __builtin_add_overflow(taken, atoms, &taken) || taken > b->limit)
        return false;
    b->held += atoms;
    return true;
}

void budget_unhold(struct budget *b, int64_t atoms)
{
    assert(atoms >= 0 && b->held >= atoms);
    b->held -= atoms;
}

void budget_settle(struct budget *b, int64_t hold, int64_t amount)
{
    assert(0 <= amount && amount <= hold);
    budget_unhold(b, hold);
    b->spent_month += amount;
    b->spent_total += amount;
}

void budget_unsettle(struct budget *b, int64_t hold, int64_t amount)
{
    b->held += hold;
    b->spent_month -= amount;
    b->spent_total -= amount;
}
