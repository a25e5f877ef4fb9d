/* billing/names.c -- the words and small texts of the store: outcomes, evidence,
 * endpoints, usage lines, the ids of models and backends, published price books. */
#include "base/db.h"
#include "billing/ledger.h"
#include "billing/lines.h"
#include <assert.h>

static const char sql_find_name[] = "SELECT id FROM name WHERE name = ?1";
static const char sql_add_name[] = "INSERT INTO name (name) VALUES (?1)";
static const char sql_find_costs[] = "SELECT id FROM cost_version WHERE sha256 = ?1";
static const char sql_add_costs[] =
    "INSERT INTO cost_version (text, sha256, from_us) VALUES (?1,?2,?3)";
static const char sql_find_prices[] = "SELECT id FROM price_version WHERE sha256 = ?1";
static const char sql_add_prices[] =
    "INSERT INTO price_version (book, currency, text, sha256, effective_from_us)"
    " VALUES (?1,?2,?3,?4,?5)";

const char *outcome_name(enum outcome o)
{
    static const char *const names[] = {
#define X(NAME, text) [OUTCOME_##NAME] = text,
        OUTCOME_MAP(X)
#undef X
    };
    assert((unsigned)o < OUTCOME_COUNT);
    return names[o];
}

bool outcome_is_void(enum outcome o)
{
    return o == OUTCOME_FAILED_PRE || o == OUTCOME_BLOCKED_UPSTREAM || o == OUTCOME_CLIENT_GONE_0 ||
           o == OUTCOME_ORPHAN_0;
}

bool outcome_name_is_void(const char *name)
{
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        if (outcome_is_void((enum outcome)o) && strcmp(name, outcome_name((enum outcome)o)) == 0)
            return true;
    return false;
}

const char *evidence_name(enum evidence e)
{
    static const char *const names[] = {
        [EVIDENCE_UPSTREAM] = "upstream", [EVIDENCE_GATEWAY] = "gateway",
        [EVIDENCE_ESTIMATE] = "estimate", [EVIDENCE_NONE] = "none",
        [EVIDENCE_BOTH] = "both",
    };
    assert((unsigned)e < sizeof names / sizeof names[0]);
    return names[e];
}

const char *endpoint_name(enum endpoint e)
{
    static const char *const names[] = {
#define X(NAME, text) [ENDPOINT_##NAME] = text,
        ENDPOINT_MAP(X)
#undef X
    };
    assert((unsigned)e < ENDPOINT_COUNT);
    return names[e];
}

static char *put_number(char *at, uint64_t value)
{
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
    } while (value /= 10);
    while (count)
        *at++ = digits[--count];
    return at;
}

static char *put_line(char *at, const struct bill_line *l)
{
    *at++ = '[';
    at = put_number(at, l->meter);
    *at++ = ',';
    at = put_number(at, l->qty);
    *at++ = ',';
    at = put_number(at, (uint64_t)l->amount.atoms);
    if (l->item || l->before) {
        *at++ = ',';
        at = put_number(at, l->item);
    }
    if (l->before) {
        *at++ = ',';
        at = put_number(at, (uint64_t)l->before);
    }
    *at++ = ']';
    return at;
}

size_t lines_text(const struct bill_line *lines, unsigned count, const char *facts,
                  char text[static LINES_TEXT_BYTES])
{
    char *at = text;
    *at++ = '[';
    for (unsigned i = 0; i < count; i++) {
        if (i)
            *at++ = ',';
        at = put_line(at, &lines[i]);
    }
    if (facts && count) {
        size_t len = strlen(facts);
        assert(len < FACTS_TEXT_BYTES);
        *at++ = ',';
        memcpy(at, facts, len);
        at += len;
    }
    *at++ = ']';
    *at = '\0';
    assert(at < text + LINES_TEXT_BYTES);
    return (size_t)(at - text);
}

size_t draws_text(const struct draws *d, char text[static DRAWS_TEXT_BYTES])
{
    char *at = text;
    for (unsigned i = 0; i < d->count; i++) {
        *at++ = i ? ',' : '[';
        *at++ = '[';
        at = put_number(at, (uint64_t)d->draw[i].fund);
        *at++ = ',';
        at = put_number(at, (uint64_t)d->draw[i].atoms);
        *at++ = ']';
    }
    if (at > text)
        *at++ = ']';
    *at = '\0';
    return (size_t)(at - text);
}

enum status ledger_name_id(struct db *db, const char *name, int64_t *ret)
{
    struct db_stmt *find = db_prepare(db, sql_find_name);
    struct db_stmt *add = db_prepare(db, sql_add_name);
    if (!find || !add)
        return db_status(db);
    int64_t id;
    db_text(find, 1, name, -1);
    enum status s = db_first_int(db, find, &id);
    if (!s && !id) {
        db_text(add, 1, name, -1);
        s = db_run(add);
        id = db_last_id(db);
    }
    if (!s)
        *ret = id;
    return s;
}

enum status ledger_publish_prices(struct db *db, const char *book, const char *currency,
                                  const char *text, const uint8_t sha256[static 32], int64_t now_us,
                                  int64_t *ret_version)
{
    struct db_stmt *find = db_prepare(db, sql_find_prices);
    struct db_stmt *add = db_prepare(db, sql_add_prices);
    if (!find || !add)
        return db_status(db);
    int64_t id;
    db_blob(find, 1, sha256, 32);
    enum status s = db_first_int(db, find, &id);
    if (!s && !id) {
        db_text(add, 1, book, -1);
        db_text(add, 2, currency, -1);
        db_text(add, 3, text, -1);
        db_blob(add, 4, sha256, 32);
        db_int(add, 5, now_us);
        s = db_run(add);
        id = db_last_id(db);
    }
    if (!s)
        *ret_version = id;
    return s;
}

enum status ledger_publish_costs(struct db *db, const char *text, const uint8_t sha256[static 32],
                                 int64_t now_us, int64_t *ret_version)
{
    struct db_stmt *find = db_prepare(db, sql_find_costs);
    struct db_stmt *add = db_prepare(db, sql_add_costs);
    if (!find || !add)
        return db_status(db);
    int64_t id;
    db_blob(find, 1, sha256, 32);
    enum status s = db_first_int(db, find, &id);
    if (!s && !id) {
        db_text(add, 1, text, -1);
        db_blob(add, 2, sha256, 32);
        db_int(add, 3, now_us);
        s = db_run(add);
        id = db_last_id(db);
    }
    if (!s)
        *ret_version = id;
    return s;
}
