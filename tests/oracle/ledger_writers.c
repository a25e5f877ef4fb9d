/* tests/oracle/ledger_writers.c -- what administration and finance do, by the product's own doors. */
#include "base/db.h"
#include "billing/contract.h"
#include "billing/fund.h"
#include "billing/organization.h"
#include "billing/payout.h"
#include "billing/seller.h"
#include "tests/oracle/ledger_oracle.h"
#include <string.h>

static enum status run_organization(struct db *db, const json_t *c)
{
    struct organization_new o = { text(c, "slug"), text(c, "slug"), "Buyer", "", "", "", "", 0 };
    int64_t id = 0;
    enum status s =
        *text(c, "reseller") ? organization_find(db, text(c, "reseller"), &o.reseller) : STATUS_OK;
    s = s ? s : organization_create(db, &o, oracle.now_us, &id);
    say("id", json_integer(id));
    return s;
}

static enum status run_seller(struct db *db, const json_t *c)
{
    char err[256] = "";
    int64_t id = 0;
    const struct seller_change change = { .series = text(c, "series"),
                                          .tax_basis_points = number(c, "tax_basis_points", -1) };
    enum status s = organization_find(db, text(c, "organization"), &id);
    s = s ? s : seller_set(db, id, &change, &oracle.seller, oracle.now_us, err);
    say("error", json_string(err));
    return s;
}

/* Of the project that was made last; 0: it is nobody's customer's. */
static enum status say_twin(struct db *db, int64_t project)
{
    static const char sql[] = "SELECT coalesce(wholesale, 0) FROM project WHERE id = ?1";
    struct db_stmt *s = db_prepare(db, sql);
    int64_t twin = 0;
    if (!s)
        return db_status(db);
    db_int(s, 1, project);
    enum status status = db_first_int(db, s, &twin);
    say("twin", json_integer(twin));
    return status;
}

static enum status run_project(struct db *db, const json_t *c)
{
    static const char sql[] =
        "INSERT INTO project (slug, display_name, budget_atoms, budget_period, created_us,"
        " organization) VALUES (?1, ?1, ?2, ?3, ?4, ?5)";
    int64_t id = 0;
    enum status status = organization_find(db, text(c, "organization"), &id);
    struct db_stmt *s = status ? NULL : db_prepare(db, sql);
    if (!s)
        return status ? status : db_status(db);
    db_text(s, 1, text(c, "slug"), -1);
    db_int(s, 2, number(c, "budget", MONEY_ATOMS_MAX));
    db_text(s, 3, text(c, "period"), -1);
    db_int(s, 4, oracle.now_us);
    db_int(s, 5, id);
    status = db_run(s);
    id = db_last_id(db);
    say("id", json_integer(id));
    return status ? status : say_twin(db, id);
}

static enum status run_contract(struct db *db, const json_t *c)
{
    char err[256] = "";
    int64_t id = 0;
    const struct contract_change change = { .starts_us = number(c, "starts", oracle.now_us),
                                            .time_zone =
                                                *text(c, "time_zone") ? text(c, "time_zone") : NULL,
                                            .credit_atoms = number(c, "credit", -1),
                                            .plan = json_object_get(c, "plan") };
    enum status s = organization_find(db, text(c, "organization"), &id);
    if (!s)
        s = contract_change(db, id, &change, oracle.now_us, err);
    say("error", json_string(err));
    return s;
}

static enum status run_fund(struct db *db, const json_t *c)
{
    int64_t organization = 0, id = 0;
    enum status s = organization_find(db, text(c, "organization"), &organization);
    const struct fund_new f = { .organization = organization,
                                .kind = text(c, "kind"),
                                .model = text(c, "model"),
                                .note = "",
                                .amount = { number(c, "amount", 0) },
                                .priority = number(c, "priority", 0),
                                .from_us = number(c, "from", oracle.now_us),
                                .to_us = number(c, "to", INT64_MAX) };
    s = s ? s : fund_add(db, &f, oracle.now_us, &id);
    say("id", json_integer(id));
    return s;
}

static enum status run_charge(struct db *db, const json_t *c)
{
    int64_t organization = 0;
    enum status s = organization_find(db, text(c, "organization"), &organization);
    const struct charge_new charge = {
        .organization = organization,
        .kind = "other",
        .text = "a charge",
        .amount = { number(c, "amount", 0) },
        .at_us = oracle.now_us,
        .tax_category = *text(c, "tax_category") ? text(c, "tax_category") : NULL,
        .tax_basis_points = number(c, "tax_basis_points", -1),
    };
    return s ? s : charge_add(db, &charge, oracle.now_us);
}

static enum status run_rule(struct db *db, const json_t *c)
{
    return payout_rule(db, text(c, "model"), text(c, "partner"), number(c, "basis_points", 0),
                       oracle.now_us);
}

static enum status run_tick(struct db *db, const json_t *c)
{
    (void)db, (void)c;
    return STATUS_OK;
}

static enum status run_cut(struct db *db, const json_t *c)
{
    return document_cut(db, text(c, "organization"), oracle.now_us);
}

static enum status run_approve(struct db *db, const json_t *c)
{
    json_t *d = NULL;
    enum status s = document_approve(db, text(c, "organization"), text(c, "month"), &oracle.seller,
                                     "finance", oracle.now_us, &d);
    say("document", d);
    return s;
}

static enum status run_issue(struct db *db, const json_t *c)
{
    json_t *d = NULL;
    enum status s = document_issue(db, text(c, "organization"), text(c, "month"), &oracle.seller,
                                   oracle.now_us, &d);
    say("document", d);
    return s;
}

static enum status run_credit(struct db *db, const json_t *c)
{
    json_t *d = NULL;
    char err[256] = "";
    const char *amount = *text(c, "amount") ? text(c, "amount") : NULL;
    enum status s = credit_note_issue(db, text(c, "invoice"), number(c, "line", 0), amount, "why",
                                      &oracle.seller, oracle.now_us, &d, err);
    say("document", d);
    say("error", json_string(err));
    return s;
}

static enum status run_pay(struct db *db, const json_t *c)
{
    json_t *d = NULL;
    enum status s = document_pay(db, text(c, "number"), text(c, "amount"), "", oracle.now_us, &d);
    json_decref(d);
    return s;
}

static enum status run_statement(struct db *db, const json_t *c)
{
    json_t *d = NULL;
    enum status s =
        payout_statement(db, text(c, "partner"), text(c, "month"), oracle.seller.minor_digits, &d);
    say("statement", d);
    return s;
}

static enum status run_funds(struct db *db, const json_t *c)
{
    int64_t id = 0;
    json_t *list = NULL;
    enum status s = organization_find(db, text(c, "organization"), &id);
    s = s ? s : fund_list(db, id, oracle.now_us, &list);
    say("funds", list);
    return s;
}

static const struct writer {
    const char *name;
    enum status (*run)(struct db *db, const json_t *c);
} writers[] = {
    { "organization", run_organization },
    { "seller", run_seller },
    { "project", run_project },
    { "contract", run_contract },
    { "fund", run_fund },
    { "charge", run_charge },
    { "publish", run_publish },
    { "rule", run_rule },
    { "tick", run_tick },
    { "cut", run_cut },
    { "approve", run_approve },
    { "issue", run_issue },
    { "credit", run_credit },
    { "pay", run_pay },
    { "statement", run_statement },
    { "funds", run_funds },
};

struct written {
    const struct writer *writer;
    const json_t *command;
};

/* As every administrative command that changes money: memory follows the rows afterwards. */
static enum status write_one(struct ledger_call *call, struct db *db, int64_t batch_us)
{
    (void)batch_us;
    const struct written *w = call->arg;
    enum status s = w->writer->run(db, w->command);
    return s ? s : ledger_reload_projects(oracle.ledger);
}

bool do_writer(const json_t *c)
{
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        if (strcmp(writers[i].name, text(c, "do")) != 0)
            continue;
        struct written w = { &writers[i], c };
        struct ledger_call call = { .op.kind = LEDGER_CALL, .run = write_one, .arg = &w };
        submit(&call.op);
        wait_for_all();
        say_status(call.op.status);
        return true;
    }
    return false;
}
