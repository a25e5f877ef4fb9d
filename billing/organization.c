/* billing/organization.c -- see organization.h. */
#include "billing/organization.h"
#include "base/db.h"
#include "base/money.h"
#include <string.h>

enum { SLUG_BYTES_MAX = 63 };

static const char sql_insert[] =
    "INSERT INTO organization (slug, display_name, buyer_name, buyer_address, buyer_tax_id,"
    " buyer_reference, po_number, created_us) VALUES (?1,?2,?3,?4,?5,?6,?7,?8)";
static const char sql_first_contract[] =
    "INSERT INTO contract (organization, starts_us, credit_atoms, created_us) VALUES (?1,0,?2,?3)";
static const char sql_find[] = "SELECT id FROM organization WHERE slug = ?1";

static bool slug_is_good(const char *slug)
{
    size_t len = strspn(slug, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && len <= SLUG_BYTES_MAX && slug[len] == '\0';
}

static enum status first_contract(struct db *db, int64_t organization, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_first_contract);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    db_int(s, 2, MONEY_ATOMS_MAX);
    db_int(s, 3, now_us);
    return db_run(s);
}

enum status organization_create(struct db *db, const struct organization_new *o, int64_t now_us,
                                int64_t *ret_id)
{
    if (!slug_is_good(o->slug))
        return STATUS_BAD_FIELD;
    struct db_stmt *s = db_prepare(db, sql_insert);
    if (!s)
        return db_status(db);
    db_text(s, 1, o->slug, -1);
    db_text(s, 2, o->display_name, -1);
    db_text(s, 3, o->buyer_name, -1);
    db_text(s, 4, o->buyer_address, -1);
    db_text(s, 5, o->buyer_tax_id, -1);
    db_text(s, 6, o->buyer_reference, -1);
    db_text(s, 7, o->po_number, -1);
    db_int(s, 8, now_us);
    enum status status = db_run(s);
    if (status)
        return status;
    *ret_id = db_last_id(db);
    return first_contract(db, *ret_id, now_us);
}

enum status organization_find(struct db *db, const char *slug, int64_t *ret_id)
{
    struct db_stmt *s = db_prepare(db, sql_find);
    if (!s)
        return db_status(db);
    db_text(s, 1, slug, -1);
    enum db_row row = db_step(s);
    if (row == DB_ROW)
        *ret_id = db_col_int(s, 0);
    enum status status = row == DB_FAILED ? db_status(db) : STATUS_OK;
    db_reset(s);
    return status ? status : row == DB_ROW ? STATUS_OK : STATUS_NOT_FOUND;
}
