/* billing/seller.c -- see seller.h. */
#include "billing/seller.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/organization.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SELLER_SQL(of)                                                                     \
    "SELECT coalesce(s.name, iif(r.buyer_name = '', r.display_name, r.buyer_name)),"       \
    " coalesce(s.address, r.buyer_address), coalesce(s.tax_id, r.buyer_tax_id),"           \
    " coalesce(s.series, ''), coalesce(s.tax_basis_points, 0) FROM organization r"         \
    " LEFT JOIN seller s ON s.id = (SELECT max(id) FROM seller WHERE organization = r.id)" \
    " WHERE r.id = " of
static const char sql_to[] = SELLER_SQL("(SELECT reseller FROM organization WHERE id = ?1)");
static const char sql_self[] = SELLER_SQL("?1");
static const char sql_taken[] = "SELECT count(*) FROM seller WHERE ?1 IN (series, series || '-CN')";
static const char sql_add[] =
    "INSERT INTO seller (organization, name, address, tax_id, series, tax_basis_points, created_us)"
    " VALUES (?1,?2,?3,?4,?5,?6,?7)";
void seller_clear(struct seller_own *s)
{
    free(s->name);
    free(s->address);
    free(s->tax_id);
    free(s->series);
    *s = (struct seller_own){ .name = NULL };
}

static enum status keep(struct db_stmt *row, int digits, struct seller_own *ret)
{
    ret->name = strdup(db_col_text(row, 0, NULL));
    ret->address = strdup(db_col_text(row, 1, NULL));
    ret->tax_id = strdup(db_col_text(row, 2, NULL));
    ret->series = strdup(db_col_text(row, 3, NULL));
    ret->is = (struct seller){ .name = ret->name,
                               .address = ret->address,
                               .tax_id = ret->tax_id,
                               .series = ret->series,
                               .tax_basis_points = db_col_int(row, 4),
                               .minor_digits = digits };
    return ret->name && ret->address && ret->tax_id && ret->series ? STATUS_OK : STATUS_NO_MEMORY;
}

/* *ret stays empty when there is no row. */
static enum status look_up(struct db *db, const char *sql, int64_t organization, int digits,
                           struct seller_own *ret)
{
    struct db_stmt *s = db_prepare(db, sql);
    if (!s)
        return db_status(db);
    db_int(s, 1, organization);
    enum db_row row = db_step(s);
    enum status status = row == DB_ROW    ? keep(s, digits, ret)
                         : row == DB_DONE ? STATUS_OK
                                          : db_status(db);
    db_reset(s);
    return status;
}

enum status seller_to(struct db *db, int64_t organization, const struct seller *house,
                      struct seller_own *own, const struct seller **ret)
{
    seller_clear(own);
    enum status s = look_up(db, sql_to, organization, house->minor_digits, own);
    *ret = own->name ? &own->is : house;
    return s;
}

enum status seller_may_issue(struct db *db, const struct seller *house,
                             const struct seller_own *own)
{
    if (own->name)
        return *own->series ? STATUS_OK : STATUS_MISSING_FIELD;
    if (!*house->name)
        return STATUS_MISSING_FIELD;
    struct db_stmt *taken = db_prepare(db, sql_taken);
    if (!taken)
        return db_status(db);
    db_text(taken, 1, house->series, -1);
    int64_t count = 0;
    enum status status = db_first_int(db, taken, &count);
    return !status && count ? STATUS_UNSUPPORTED_FIELD : status;
}

/* ---- saying so ----------------------------------------------------------------------------- */

static bool is_series(const char *text)
{
    size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    return len > 0 && len <= SELLER_SERIES_BYTES_MAX && text[len] == '\0';
}

static bool is_houses(const char *series, const struct seller *house)
{
    size_t len = strlen(series);
    return strncmp(house->series, series, len) == 0 &&
           (house->series[len] == '\0' || strcmp(house->series + len, "-CN") == 0);
}

static enum status check_series(const char *series, const struct seller *house,
                                char err[static 256])
{
    if (!*series) {
        snprintf(err, 256, "say in which series its documents are numbered: --series TP");
        return STATUS_MISSING_FIELD;
    }
    if (!is_series(series)) {
        snprintf(err, 256, "a series is 1 to 20 letters and digits");
        return STATUS_BAD_FIELD;
    }
    if (is_houses(series, house)) {
        snprintf(err, 256, "'%.20s' is the operator's own series (invoice_series)", series);
        return STATUS_CONFLICT;
    }
    return STATUS_OK;
}

static enum status check_seller(struct db *db, int64_t organization, char err[static 256])
{
    bool is_customer = false;
    enum status s = organization_is_customer(db, organization, &is_customer);
    if (s || !is_customer)
        return s;
    snprintf(err, 256, "it buys from a reseller itself, and nobody can buy from it");
    return STATUS_BAD_FIELD;
}

static enum status insert(struct db *db, int64_t organization, const struct seller *s,
                          int64_t now_us)
{
    struct db_stmt *add = db_prepare(db, sql_add);
    if (!add)
        return db_status(db);
    db_int(add, 1, organization);
    db_text(add, 2, s->name, -1);
    db_text(add, 3, s->address, -1);
    db_text(add, 4, s->tax_id, -1);
    db_text(add, 5, s->series, -1);
    db_int(add, 6, s->tax_basis_points);
    db_int(add, 7, now_us);
    return db_run(add);
}

enum status seller_set(struct db *db, int64_t organization, const struct seller_change *c,
                       const struct seller *house, int64_t now_us, char err[static 256])
{
    AUTO(seller_clear) struct seller_own own = { .name = NULL };
    enum status s = check_seller(db, organization, err);
    if (!s)
        s = look_up(db, sql_self, organization, house->minor_digits, &own);
    if (s)
        return s;
    struct seller now = own.is;
    now.name = c->name ? c->name : now.name;
    now.address = c->address ? c->address : now.address;
    now.tax_id = c->tax_id ? c->tax_id : now.tax_id;
    now.series = c->series ? c->series : now.series;
    now.tax_basis_points = c->tax_basis_points < 0 ? now.tax_basis_points : c->tax_basis_points;
    s = check_series(now.series, house, err);
    if (!s)
        s = insert(db, organization, &now, now_us);
    if (s == STATUS_CONFLICT || s == STATUS_BAD_FIELD)
        if (!*err)
            snprintf(err, 256, "the series '%.20s' is another seller's", now.series);
    return s;
}
