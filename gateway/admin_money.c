/* gateway/admin_money.c -- see admin_money.h. */
#include "gateway/admin_money.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/contract.h"
#include "billing/fund.h"
#include "billing/organization.h"
#include "billing/seller.h"
#include "billing/trial.h"
#include "gateway/admin_args.h"
#include "gateway/admin_spec.h"
#include <stddef.h>

enum { TEXT_MAX = 200, ADDRESS_MAX = 1000, PLAN_MEMBERS_MAX = 32 };

/* ---- organisations ---- */

enum status admin_find_organization(struct admin_job *job, struct db *db, const char *slug,
                                    int64_t *ret)
{
    enum status s = organization_find(db, slug, ret);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "organization", "there is no organization '%s'", slug);
    return s;
}

static enum status create(const struct admin_job *job, struct db *db, int64_t reseller,
                          int64_t now_us, int64_t *ret)
{
    const struct admin_args *a = &job->args;
    const struct organization_new o = {
        .slug = a->slug,
        .display_name = a->display_name ? a->display_name : a->slug,
        .buyer_name = or_empty(a->buyer_name),
        .buyer_address = or_empty(a->buyer_address),
        .buyer_tax_id = or_empty(a->buyer_tax_id),
        .po_number = or_empty(a->po_number),
        .buyer_reference = or_empty(a->buyer_reference),
        .reseller = reseller,
    };
    return organization_create(db, &o, now_us, ret);
}

enum status admin_create_organization(const struct admin_job *job, struct db *db, int64_t now_us,
                                      int64_t *ret)
{
    return create(job, db, 0, now_us, ret);
}

static enum status find_reseller(struct admin_job *job, struct db *db, int64_t *ret)
{
    const char *slug = job->args.reseller;
    *ret = 0;
    enum status s = slug ? organization_find(db, slug, ret) : STATUS_OK;
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "reseller", "there is no organization '%s'", slug);
    return s;
}

enum status run_org_create(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    int64_t id, reseller;
    enum status s = find_reseller(job, db, &reseller);
    if (s)
        return s;
    s = create(job, db, reseller, now_us, &id);
    if (s == STATUS_FORBIDDEN)
        return admin_refuse(job, s, "reseller",
                            "'%s' buys from a reseller itself: nobody can buy from it",
                            a->reseller);
    if (s == STATUS_CONFLICT)
        return admin_refuse(job, s, "slug", "the organization '%s' exists already", a->slug);
    if (s == STATUS_BAD_FIELD)
        return admin_refuse(job, s, "slug", "a slug is 1 to 63 of a-z, 0-9 and '-'");
    return s ? s : admin_changed(job, json_pack("{s:s}", "organization", a->slug));
}

/* The operator's own series is not a reseller's. */
enum status prepare_seller(struct admin_job *job)
{
    const struct conf *c = job->daemon->conf;
    job->seller.series = arena_strdup(job->arena, c->invoice_series);
    job->seller.minor_digits = (int)c->currency_minor_digits;
    return job->seller.series ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status read_tax(struct admin_job *job, int64_t *ret)
{
    const char *text = job->args.tax_points;
    char *end = NULL;
    if (!text)
        return STATUS_OK;
    *ret = strtol(text, &end, 10);
    if (strspn(text, "0123456789") == strlen(text) && *ret <= 10000)
        return STATUS_OK;
    return admin_refuse(job, STATUS_BAD_FIELD, "tax_basis_points",
                        "'%s' is not a number of basis points, 0 to 10000: 6 %% are 600", text);
}

enum status run_org_seller(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    char err[256] = "";
    int64_t id;
    struct seller_change c = { a->name, a->address, a->tax_id, a->series, -1 };
    enum status s = read_tax(job, &c.tax_basis_points);
    if (!s)
        s = admin_find_organization(job, db, a->organization, &id);
    if (s)
        return s;
    s = seller_set(db, id, &c, &job->seller, now_us, err);
    if (s && *err)
        return admin_refuse(job, s, "series", "%s", err);
    return s ? s : admin_changed(job, json_pack("{s:s}", "organization", a->organization));
}

enum status run_org_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    json_t *list;
    enum status s = organization_list(db, now_us, &list);
    return s ? s : admin_answered(job, json_pack("{s:o}", "organizations", list));
}

enum status run_trial_balance(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    int64_t reseller;
    json_t *balance = NULL;
    enum status s = find_reseller(job, db, &reseller);
    if (!s)
        s = trial_balance(db, reseller, &balance);
    return s ? s : admin_answered(job, balance);
}

/* What the organization of the arguments has of something; takes the rows. */
static enum status listed(struct admin_job *job, enum status status, const char *name, json_t *rows)
{
    return status ? status
                  : admin_answered(job, json_pack("{s:s, s:o}", "organization",
                                                  job->args.organization, name, rows));
}

/* ---- contracts ---- */

/* "none" is no limit of its own. */
static enum status read_credit(struct admin_job *job)
{
    const char *text = job->args.credit;
    job->budget = (money_t){ text ? MONEY_ATOMS_MAX : -1 };
    if (!text || strcmp(text, "none") == 0 || money_parse(text, &job->budget))
        return STATUS_OK;
    return admin_refuse(job, STATUS_BAD_FIELD, "credit",
                        "'%s' is neither an amount such as 500.00 nor none", text);
}

static enum status read_instant(struct admin_job *job, const char *field, const char *text,
                                int64_t otherwise, int64_t *ret)
{
    *ret = otherwise;
    if (!text || admin_read_time(text, ret))
        return STATUS_OK;
    return admin_refuse(job, STATUS_BAD_FIELD, field,
                        "'%s' is neither a day such as 2027-01-01 nor an instant of it (UTC)",
                        text);
}

enum status prepare_contract(struct admin_job *job)
{
    enum status s = read_credit(job);
    return s ? s : read_instant(job, "from", job->args.from, 0, &job->from_us);
}

enum status run_contract_set(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    char err[256] = "";
    int64_t organization;
    enum status s = admin_find_organization(job, db, a->organization, &organization);
    if (s)
        return s;
    AUTO(json_decref_ptr) json_t *nothing = json_object();
    const struct contract_change c = {
        .starts_us = job->from_us ? job->from_us : now_us,
        .time_zone = a->time_zone,
        .credit_atoms = job->budget.atoms,
        .plan = a->plan ? a->plan : nothing,
    };
    s = contract_change(db, organization, &c, now_us, err);
    if (s && *err)
        return admin_refuse(job, s, "", "%s", err);
    json_t *list = NULL;
    if (!s)
        s = contract_list(db, organization, &list);
    return s ? s
             : admin_changed(job, json_pack("{s:s, s:o}", "organization", a->organization,
                                            "contracts", list));
}

enum status run_contract_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    int64_t organization;
    json_t *rows = NULL;
    enum status s = admin_find_organization(job, db, job->args.organization, &organization);
    if (!s)
        s = contract_list(db, organization, &rows);
    return listed(job, s, "contracts", rows);
}

/* ---- funds and charges ---- */

enum status prepare_fund(struct admin_job *job)
{
    const struct admin_args *a = &job->args;
    if (a->amount && (!money_parse(a->amount, &job->budget) || job->budget.atoms == 0))
        return admin_refuse(job, STATUS_BAD_FIELD, "amount", "'%s' is not an amount such as 100.00",
                            a->amount);
    enum status s = read_instant(job, "from", a->from, 0, &job->from_us);
    return s ? s : read_instant(job, "to", a->to, INT64_MAX, &job->to_us);
}

static bool is_fund_kind(const char *kind)
{
    return strcmp(kind, "promo") == 0 || strcmp(kind, "commit") == 0 ||
           strcmp(kind, "prepaid") == 0;
}

enum status run_fund_add(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    struct fund_new f = {
        .kind = a->kind,
        .model = or_empty(a->model),
        .note = or_empty(a->note),
        .amount = job->budget,
        .priority = a->priority,
        .from_us = job->from_us ? job->from_us : now_us,
        .to_us = job->to_us,
    };
    if (!is_fund_kind(a->kind))
        return admin_refuse(
            job, STATUS_BAD_FIELD, "kind",
            "'%s' is none of promo (a grant), commit (a bought commitment), prepaid", a->kind);
    if (f.to_us <= f.from_us)
        return admin_refuse(job, STATUS_BAD_FIELD, "to", "it ends before it begins");
    int64_t id;
    enum status s = admin_find_organization(job, db, a->organization, &f.organization);
    if (!s)
        s = fund_add(db, &f, now_us, &id);
    return s ? s
             : admin_changed(job, json_pack("{s:s, s:I, s:s, s:s}", "organization", a->organization,
                                            "fund", (json_int_t)id, "kind", a->kind, "amount",
                                            a->amount));
}

enum status run_fund_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    int64_t organization;
    json_t *rows = NULL;
    enum status s = admin_find_organization(job, db, job->args.organization, &organization);
    if (!s)
        s = fund_list(db, organization, now_us, &rows);
    return listed(job, s, "funds", rows);
}

enum status run_charge_add(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    struct charge_new c = { .kind = "other",
                            .text = a->text,
                            .amount = job->budget,
                            .at_us = job->from_us ? job->from_us : now_us };
    enum status s = admin_find_organization(job, db, a->organization, &c.organization);
    if (!s)
        s = charge_add(db, &c, now_us);
    if (s == STATUS_CONFLICT)
        return admin_refuse(job, s, "from", "the billing period that it lies in is closed");
    return s ? s
             : admin_changed(job, json_pack("{s:s, s:s, s:s}", "organization", a->organization,
                                            "text", a->text, "amount", a->amount));
}

/* ---- arguments ---- */

const struct json_spec admin_org_create_args[] = {
    TEXT(slug, true, TEXT_MAX),
    TEXT(display_name, false, TEXT_MAX),
    TEXT(buyer_name, false, TEXT_MAX),
    TEXT(buyer_address, false, ADDRESS_MAX),
    TEXT(buyer_tax_id, false, TEXT_MAX),
    TEXT(po_number, false, TEXT_MAX),
    TEXT(buyer_reference, false, TEXT_MAX),
    TEXT(reseller, false, TEXT_MAX),
    END,
};
const struct json_spec admin_trial_args[] = { TEXT(reseller, false, TEXT_MAX), END };
const struct json_spec admin_seller_args[] = {
    TEXT(organization, true, TEXT_MAX),
    TEXT(series, false, TEXT_MAX),
    TEXT(name, false, TEXT_MAX),
    TEXT(address, false, ADDRESS_MAX),
    TEXT(tax_id, false, TEXT_MAX),
    { "tax_basis_points", WANT_TEXT, false, offsetof(struct admin_args, tax_points), 1, 5 },
    END,
};
const struct json_spec admin_org_args[] = { TEXT(organization, true, TEXT_MAX), END };
const struct json_spec admin_contract_args[] = {
    TEXT(organization, true, TEXT_MAX),
    TEXT(from, false, TEXT_MAX),
    TEXT(time_zone, false, 63),
    TEXT(credit, false, TEXT_MAX),
    { "plan", WANT_OBJECT, false, offsetof(struct admin_args, plan), 0, PLAN_MEMBERS_MAX },
    END,
};
const struct json_spec admin_fund_args[] = {
    TEXT(organization, true, TEXT_MAX),
    TEXT(kind, true, TEXT_MAX),
    TEXT(amount, true, TEXT_MAX),
    TEXT(model, false, TEXT_MAX),
    TEXT(note, false, TEXT_MAX),
    TEXT(from, false, TEXT_MAX),
    TEXT(to, false, TEXT_MAX),
    { "priority", WANT_INT, false, offsetof(struct admin_args, priority), 0, 1000 },
    END,
};
const struct json_spec admin_charge_args[] = {
    TEXT(organization, true, TEXT_MAX),
    TEXT(amount, true, TEXT_MAX),
    TEXT(text, true, TEXT_MAX),
    TEXT(from, false, TEXT_MAX),
    END,
};
