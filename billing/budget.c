/* billing/budget.c -- the table of budgets, and the only place that says yes to
 * money.  spent and held together never exceed the limit that was in force when
 * they were admitted, so no sum here can overflow. */
#include "billing/budget.h"
#include "base/db.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char sql_projects[] =
    "SELECT id, budget_atoms, budget_period = 'month', organization FROM project";
static const char sql_spent_total[] = "SELECT project, atoms, 0 FROM project_spent";
/* A period has at most 31 days: the hours before that need not be looked at. */
static const char sql_spent_month[] =
    "SELECT r.project, sum(r.atoms), p.starts_us FROM usage_rollup r JOIN billing_period p"
    " ON p.id = r.period WHERE r.hour_us >= ?1 - 2764800000000 AND p.starts_us <= ?1"
    " AND p.ends_us > ?1 GROUP BY r.project";

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

void budget_forget_alerts(struct budget *b)
{
    b->alert_at = 0;
    b->stop_noted = false;
}

static enum status set_limit(struct budgets *b, struct db_stmt *row)
{
    if (b->count * 2 >= b->room) {
        enum status s = grow(b);
        if (s)
            return s;
    }
    struct budget *slot = slot_for(b->slots, b->room, db_col_int(row, 0));
    if (!slot->project)
        b->count++;
    slot->project = db_col_int(row, 0);
    slot->limit = db_col_int(row, 1);
    slot->monthly = db_col_int(row, 2) != 0;
    slot->organization = db_col_int(row, 3);
    budget_forget_alerts(slot);
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
        status = set_limit(b, s);
    if (row == DB_FAILED)
        status = db_status(db);
    db_reset(s);
    return status;
}

static void take_total(struct budget *b, struct db_stmt *row)
{
    b->spent_total = db_col_int(row, 1);
}

static void take_month(struct budget *b, struct db_stmt *row)
{
    b->spent_month = db_col_int(row, 1);
    b->period_from_us = db_col_int(row, 2);
}

static enum status each_project(struct budgets *b, struct db *db, struct db_stmt *s,
                                void (*take)(struct budget *b, struct db_stmt *row))
{
    enum db_row row;
    while ((row = db_step(s)) == DB_ROW) {
        struct budget *slot = budget_find(b, db_col_int(s, 0));
        if (slot)
            take(slot, s);
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
    db_int(month, 1, now_us);
    enum status s = each_project(b, db, total, take_total);
    return s ? s : each_project(b, db, month, take_month);
}

void budget_enter_period(struct budget *b, int64_t period_from_us)
{
    if (b->period_from_us == period_from_us)
        return;
    b->spent_month = 0;
    b->period_from_us = period_from_us;
    budget_forget_alerts(b);
}

struct budget *budget_find(struct budgets *b, int64_t project)
{
    if (!b->room || project <= 0)
        return NULL;
    struct budget *slot = slot_for(b->slots, b->room, project);
    return slot->project ? slot : NULL;
}

bool budget_admits(const struct budget *b, int64_t atoms)
{
    assert(atoms >= 0);
    int64_t spent = b->monthly ? b->spent_month : b->spent_total;
    int64_t taken;
    return !__builtin_add_overflow(spent, b->held, &taken) &&
           !__builtin_add_overflow(taken, atoms, &taken) && taken <= b->limit;
}

bool budget_hold(struct budget *b, int64_t atoms)
{
    if (!budget_admits(b, atoms))
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
