/* billing/organization.c -- see organization.h. */
#include "billing/organization.h"
#include "base/cleanup.h"
#include "base/db_list.h"
#include "base/money.h"
#include <string.h>

enum { SLUG_BYTES_MAX = 63 };

static const char sql_insert[] =
    "INSERT INTO organization (slug, display_name, buyer_name, buyer_address, buyer_tax_id,"
    " buyer_reference, po_number, created_us, reseller) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)";
static const char sql_is_customer[] =
    "SELECT count(*) FROM organization WHERE id = ?1 AND reseller IS NOT NULL";
static const char sql_first_contract[] =
    "INSERT INTO contract (organization, starts_us, credit_atoms, created_us) VALUES (?1,0,?2,?3)";
static const char sql_find[] = "SELECT id FROM organization WHERE slug = ?1";

static const char sql_list[] =
    "SELECT o.slug, o.display_name, o.buyer_name,"
    " (SELECT count(*) FROM project p WHERE p.organization = o.id),"
    " (SELECT credit_atoms FROM contract c WHERE c.organization = o.id AND c.starts_us <= ?1"
    "  ORDER BY starts_us DESC LIMIT 1),"
    " (SELECT coalesce(sum(f.amount_atoms - b.drawn_atoms - b.expired_atoms), 0) FROM fund f"
    "  JOIN fund_balance b ON b.fund = f.id WHERE f.organization = o.id AND f.to_us > ?1),"
    " (SELECT posted_atoms FROM account_balance WHERE account = 32 * o.id + 1),"
    " (SELECT posted_atoms FROM account_balance WHERE account = 32 * o.id + 3), r.slug"
    " FROM organization o LEFT JOIN organization r ON r.id = o.reseller ORDER BY o.slug LIMIT 10000";

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

enum status organization_is_customer(struct db *db, int64_t organization, bool *ret)
{
    struct db_stmt *s = db_prepare(db, sql_is_customer);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    int64_t count = 0;
    enum status status = db_first_int(db, s, &count);
    *ret = count != 0;
    return status;
}

/* One level deep. */
static enum status check_reseller(struct db *db, int64_t reseller)
{
    bool is_customer = false;
    enum status s = reseller ? organization_is_customer(db, reseller, &is_customer) : STATUS_OK;
    return !s && is_customer ? STATUS_FORBIDDEN : s;
}

enum status organization_create(struct db *db, const struct organization_new *o, int64_t now_us,
                                int64_t *ret_id)
{
    if (!slug_is_good(o->slug))
        return STATUS_BAD_FIELD;
    enum status status = check_reseller(db, o->reseller);
    struct db_stmt *s = status ? NULL : db_prepare(db, sql_insert);
    if (!s)
        return status ? status : db_status(db);
    db_text(s, 1, o->slug, -1);
    db_text(s, 2, o->display_name, -1);
    db_text(s, 3, o->buyer_name, -1);
    db_text(s, 4, o->buyer_address, -1);
    db_text(s, 5, o->buyer_tax_id, -1);
    db_text(s, 6, o->buyer_reference, -1);
    db_text(s, 7, o->po_number, -1);
    db_int(s, 8, now_us);
    if (o->reseller)
        db_int(s, 9, o->reseller);
    else
        db_null(s, 9);
    status = db_run(s);
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
    enum status status = db_first_int(db, s, ret_id);
    return status || *ret_id ? status : STATUS_NOT_FOUND;
}

static json_t *listed(struct db_stmt *s, const void *arg)
{
    (void)arg;
    char credit[MONEY_TEXT_BYTES], funds[MONEY_TEXT_BYTES], unbilled[MONEY_TEXT_BYTES];
    char receivable[MONEY_TEXT_BYTES];
    bool unlimited = db_col_int(s, 4) == MONEY_ATOMS_MAX;
    return json_pack("{s:s, s:s?, s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "slug",
                     db_col_text(s, 0, NULL), "reseller", db_col_text(s, 8, NULL), "display_name",
                     db_col_text(s, 1, NULL), "buyer_name", db_col_text(s, 2, NULL), "projects",
                     (json_int_t)db_col_int(s, 3), "credit",
                     unlimited ? "no limit" : money_text((money_t){ db_col_int(s, 4) }, 2, credit),
                     "funds_left", money_text((money_t){ db_col_int(s, 5) }, 2, funds), "unbilled",
                     money_text((money_t){ db_col_int(s, 6) }, 2, unbilled), "receivable",
                     money_text((money_t){ db_col_int(s, 7) }, 2, receivable));
}

enum status organization_list(struct db *db, int64_t now_us, json_t **ret)
{
    struct db_stmt *s = db_prepare(db, sql_list);
    db_int(s, 1, now_us);
    return db_list(db, s, listed, NULL, ret);
}
