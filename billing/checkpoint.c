/* billing/checkpoint.c -- see checkpoint.h. */
#include "billing/checkpoint.h"
#include "base/db.h"
#include "billing/books.h"
#include <string.h>

static const char sql_put[] =
    "INSERT INTO checkpoint VALUES (?1,?2,?3,?4,?5,?6,?7,?8) ON CONFLICT (rid) DO UPDATE SET"
    " at_us = ?2, model = ?3, model_served = ?4, backend = ?5, amount_atoms = ?6, lines = ?7";
static const char sql_put_resale[] =
    "INSERT INTO resale_checkpoint VALUES (?1,?2,?3,?4) ON CONFLICT (rid) DO UPDATE SET"
    " model = ?2, amount_atoms = ?3, lines = ?4";
static const char sql_forget[] = "DELETE FROM checkpoint WHERE rid = ?1";

/* Both or neither: what fails here ends the batch. */
static enum status put_resale(struct books *b, const struct ledger_checkpoint *c)
{
    struct db_stmt *s = db_prepare(b->db, sql_put_resale);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, c->rid);
    db_int(s, 2, c->resale->model);
    db_int(s, 3, c->resale->amount.atoms);
    db_text(s, 4, c->resale->lines, -1);
    return db_run(s) ? STATUS_STORE_FAILED : STATUS_OK;
}

enum status books_checkpoint(struct books *b, const struct ledger_checkpoint *c)
{
    struct db_stmt *s = db_prepare(b->db, sql_put);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, c->rid);
    db_int(s, 2, b->batch_us);
    db_int(s, 3, c->model);
    db_int(s, 4, c->model_served);
    db_int(s, 5, c->backend);
    db_int(s, 6, c->amount.atoms);
    db_text(s, 7, c->lines, -1);
    db_int(s, 8, c->first_byte_us);
    enum status status = db_run(s);
    return status || !c->resale ? status : put_resale(b, c);
}

enum status books_forget_checkpoint(struct books *b, rid_t rid)
{
    struct db_stmt *s = db_prepare(b->db, sql_forget);
    if (!s)
        return db_status(b->db);
    db_int(s, 1, rid);
    return db_run(s);
}

/* ---- reading it back ----------------------------------------------------------------------- */

static const char *read_number(const char *at, int64_t *ret)
{
    *ret = 0;
    if (*at < '0' || *at > '9')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(*ret, 10, ret) || __builtin_add_overflow(*ret, *at - '0', ret))
            return NULL;
    return at;
}

/* "[meter,qty,atoms]" or "[meter,qty,atoms,item]"; what follows, NULL: it is none.  Where the price counts
 * what was used before, it is noted as the first of its period. */
static const char *read_line(const char *at, struct bill_line *ret)
{
    int64_t n[4] = { 0 };
    for (unsigned i = 0; i < 4; i++) {
        if (i == 3 && *at == ']')
            break;
        if (*at != (i ? ',' : '[') || !(at = read_number(at + 1, &n[i])))
            return NULL;
    }
    if (*at != ']' || n[0] >= METER_COUNT || n[3] > UINT16_MAX)
        return NULL;
    *ret = (struct bill_line){
        .meter = (enum meter)n[0], .qty = (uint64_t)n[1], .amount = { n[2] }, .item = (uint16_t)n[3]
    };
    return at + 1;
}

static const char *read_facts(const char *at, char facts[static FACTS_TEXT_BYTES])
{
    const char *end = strchr(at, '}');
    size_t len = end ? (size_t)(end - at) + 1 : 0;
    if (len == 0 || len >= FACTS_TEXT_BYTES)
        return NULL;
    memcpy(facts, at, len);
    facts[len] = '\0';
    return at + len;
}

static bool read_lines(const char *at, struct ledger_settle *t, char facts[static FACTS_TEXT_BYTES])
{
    facts[0] = '\0';
    t->line_count = 0;
    if (*at++ != '[')
        return false;
    while (*at == '[') {
        if (t->line_count == BILL_LINES_MAX || !(at = read_line(at, &t->lines[t->line_count++])))
            return false;
        at += *at == ',';
    }
    if (*at == '{' && !(at = read_facts(at, facts)))
        return false;
    return strcmp(at, "]") == 0;
}

static bool adds_up(const struct ledger_settle *t)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < t->line_count; i++)
        if (__builtin_add_overflow(sum, t->lines[i].amount.atoms, &sum))
            return false;
    return sum == t->amount.atoms && sum <= t->hold.atoms;
}

bool checkpoint_read(struct db_stmt *row, int at, struct ledger_settle *t,
                     char facts[static FACTS_TEXT_BYTES])
{
    if (db_col_null(row, at))
        return false;
    struct ledger_settle found = *t;
    found.model = db_col_int(row, at);
    found.model_served = db_col_int(row, at + 1);
    found.backend = db_col_int(row, at + 2);
    found.amount.atoms = db_col_int(row, at + 3);
    found.first_byte_us = db_col_int(row, at + 5);
    if (!read_lines(db_col_text(row, at + 4, NULL), &found, facts) || !adds_up(&found))
        return false;
    found.facts = *facts ? facts : NULL;
    found.outcome = OUTCOME_ORPHAN;
    found.evidence = EVIDENCE_ESTIMATE;
    *t = found;
    return true;
}
