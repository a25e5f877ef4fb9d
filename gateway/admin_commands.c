/* gateway/admin_commands.c -- what an operator can ask for: one table, one row each.
 *
 * `prepare` runs on the main thread and may read the configuration; `run` runs
 * where the row says and touches nothing but the job, the store and what is made
 * for many threads.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "base/buf.h"
#include "base/log.h"
#include "billing/decimal.h"
#include "billing/margin.h"
#include "billing/recount.h"
#include "conf/catalog.h"
#include "gateway/admin.h"
#include "gateway/admin_alerts.h"
#include "gateway/admin_args.h"
#include "gateway/admin_backends.h"
#include "gateway/admin_documents.h"
#include "gateway/admin_job.h"
#include "gateway/admin_money.h"
#include "gateway/admin_prices.h"
#include "gateway/admin_request.h"
#include "gateway/admin_spec.h"
#include "gateway/admin_store.h"
#include "gateway/courier.h"
#include "gateway/price_json.h"
#include "gateway/probe.h"
#include "gateway/status_report.h"
#include <stddef.h>

enum { TEXT_MAX = 200, ADDRESS_MAX = 1000, USAGE_ROWS = 1000, USAGE_ROWS_MAX = 10000 };
enum { PRICE_TEXT_BYTES_MAX = 4096 };
enum { AUDIT_DEADLINE_MS = 10 * 60 * 1000 };
#define COUNT_MAX INT64_C(1000000000000)

struct limits admin_default_limits(const struct conf *c)
{
    return (struct limits){
        .requests = rate_per_minute((int64_t)c->default_requests_per_minute),
        .tokens = rate_per_minute((int64_t)c->default_tokens_per_minute),
        .concurrency = (int64_t)c->default_concurrency,
    };
}

/* ---- projects ---- */

static enum status prepare_budget(struct admin_job *job)
{
    const char *text = job->args.budget ? job->args.budget : job->daemon->conf->default_budget;
    if (money_parse(text, &job->budget))
        return STATUS_OK;
    return admin_refuse(job, STATUS_BAD_FIELD, "budget", "'%s' is not an amount such as 100.00",
                        text);
}

static enum status refuse_project(struct admin_job *job, enum status status)
{
    const char *slug = job->args.slug;
    if (status == STATUS_CONFLICT)
        return admin_refuse(job, status, "slug", "the project '%s' exists already", slug);
    if (status == STATUS_NOT_FOUND)
        return admin_refuse(job, status, "slug", "there is no project '%s'", slug);
    if (status == STATUS_BAD_FIELD)
        return admin_refuse(job, status, "",
                            "a slug is 1 to 63 of a-z, 0-9 and '-', a period is month or total");
    return status;
}

static enum status project_answer(struct admin_job *job)
{
    char budget[MONEY_TEXT_BYTES];
    return admin_changed(job, json_pack("{s:s, s:s}", "slug", job->args.slug, "budget",
                                        money_text(job->budget, 2, budget)));
}

/* The organisation that is named, or a new one of the project's own name. */
static enum status find_payer(struct admin_job *job, struct db *db, int64_t now_us, int64_t *ret)
{
    const struct admin_args *a = &job->args;
    if (!a->organization) {
        enum status status = admin_create_organization(job, db, now_us, ret);
        return status == STATUS_OK ? status : refuse_project(job, status);
    }
    bool has_buyer =
        a->buyer_name || a->buyer_address || a->buyer_tax_id || a->po_number || a->buyer_reference;
    if (has_buyer)
        return admin_refuse(job, STATUS_BAD_FIELD, "buyer_name",
                            "the buyer is the organization's, not the project's");
    return admin_find_organization(job, db, a->organization, ret);
}

static enum status run_project_create(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    struct project_new p = {
        .slug = a->slug,
        .display_name = a->display_name ? a->display_name : a->slug,
        .budget_atoms = job->budget.atoms,
        .budget_period = a->budget_period ? a->budget_period : "month",
        .cost_centre = or_empty(a->cost_centre),
    };
    int64_t id;
    enum status status = find_payer(job, db, now_us, &p.organization);
    if (status != STATUS_OK)
        return status;
    status = project_create(db, &p, now_us, &id);
    return status == STATUS_OK ? project_answer(job) : refuse_project(job, status);
}

static enum status run_set_budget(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    enum status status =
        project_set_budget(db, job->args.slug, job->budget.atoms, job->args.budget_period);
    return status == STATUS_OK ? project_answer(job) : refuse_project(job, status);
}

static enum status run_project_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    json_t *list;
    enum status status = project_list(db, &list);
    return status == STATUS_OK ? admin_answered(job, json_pack("{s:o}", "projects", list)) : status;
}

/* ---- keys ---- */

static enum status prepare_key(struct admin_job *job)
{
    const struct env *env = job->daemon->env;
    job->key_defaults = admin_default_limits(job->daemon->conf);
    const char *text = job->args.expires, *role = job->args.role;
    if (role && key_role_find(role) == KEY_NONE)
        return admin_refuse(
            job, STATUS_BAD_FIELD, "role",
            "'%s' is no role: inference (calls models) or finance (reads the money)", role);
    if (!text || admin_read_expiry(text, env->wall_us(env->arg), &job->expires_us))
        return STATUS_OK;
    return admin_refuse(job, STATUS_BAD_FIELD, "expires",
                        "'%s' is neither a time ahead such as 30d or 12h nor a date such as "
                        "2027-01-31 within ten years",
                        text);
}

static enum status run_key_create(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    const struct admin_args *a = &job->args;
    const struct key_new k = {
        .project = a->project,
        .label = or_empty(a->label),
        .requests_per_minute = a->requests_per_minute,
        .tokens_per_minute = a->tokens_per_minute,
        .concurrency = a->concurrency,
        .expires_us = job->expires_us,
        .role = a->role,
    };
    char text[KEY_TEXT_BYTES], name[KEY_NAME_DIGITS + 1];
    enum status status = key_create(db, job->daemon->keyring, job->daemon->env, &k, text, name);
    if (status == STATUS_NOT_FOUND)
        return admin_refuse(job, status, "project", "there is no project '%s'", a->project);
    if (status == STATUS_BAD_FIELD || status == STATUS_CONFLICT)
        return admin_refuse(job, STATUS_BAD_FIELD, "project",
                            "'%s' is a reseller's twin of its customer's project, and has no keys: "
                            "they are of the customer's",
                            a->project);
    if (status != STATUS_OK)
        return status;
    return admin_answered(job, json_pack("{s:s, s:s, s:s, s:s, s:s}", "key", text, "name", name,
                                         "project", k.project, "label", k.label, "role",
                                         k.role ? k.role : "inference"));
}

static enum status run_key_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    json_t *list;
    enum status status = key_list(db, job->args.project, now_us, &list);
    return status == STATUS_OK ? admin_answered(job, json_pack("{s:o}", "keys", list)) : status;
}

static enum status run_key_revoke(struct admin_job *job, struct db *db, int64_t now_us)
{
    const char *name = job->args.name;
    enum status status = key_revoke(db, name, now_us);
    if (status == STATUS_NOT_FOUND)
        return admin_refuse(job, status, "name", /* it may be a whole key: not said again */
                            "there is no key of that name and no PROJECT/LABEL like it");
    if (status == STATUS_CONFLICT)
        return admin_refuse(job, status, "name", "several keys have the label '%s': name one",
                            name);
    if (status != STATUS_OK)
        return status;
    return admin_answered(job, json_pack("{s:s, s:b}", "name", name, "revoked", 1));
}

/* ---- money ---- */

static enum status read_day(struct admin_job *job, const char *field, const char *text,
                            int64_t *ret_us)
{
    if (!text || (admin_read_time(text, ret_us) && *ret_us % HOUR_US == 0))
        return STATUS_OK;
    return admin_refuse(job, STATUS_BAD_FIELD, field,
                        "'%s' is not a whole hour such as 2026-11-24 or 2026-11-24T13:00:00Z",
                        text);
}

/* A month, or from..to; what is not said is this month so far. */
static enum status prepare_usage(struct admin_job *job)
{
    const struct env *env = job->daemon->env;
    const struct admin_args *a = &job->args;
    int64_t now_us = env->wall_us(env->arg);
    job->from_us = admin_month_start(now_us);
    job->to_us = now_us - now_us % HOUR_US + HOUR_US;
    if (a->month && (a->from || a->to))
        return admin_refuse(job, STATUS_BAD_FIELD, "month", "give a month, or from and to");
    if (a->month && !report_month(a->month, &job->from_us, &job->to_us))
        return admin_refuse(job, STATUS_BAD_FIELD, "month", "'%s' is not a month such as 2026-11",
                            a->month);
    enum status status = read_day(job, "from", a->from, &job->from_us);
    if (status == STATUS_OK)
        status = read_day(job, "to", a->to, &job->to_us);
    if (status == STATUS_OK && job->from_us >= job->to_us)
        return admin_refuse(job, STATUS_BAD_FIELD, "from", "it must be before the end");
    return status;
}

static enum status run_usage(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    const struct usage_query q = {
        .from_us = job->from_us,
        .to_us = job->to_us,
        .project = job->args.project,
        .group_by = job->args.group_by,
        .limit = job->args.limit ? job->args.limit : USAGE_ROWS,
    };
    enum status status = report_usage(db, &q, &job->result);
    if (status == STATUS_BAD_FIELD)
        return admin_refuse(job, status, "group_by",
                            "group by model, served, backend, key, project, organization or day");
    if (status == STATUS_CONFLICT)
        return admin_refuse(
            job, status, "group_by",
            "requests of that time are in an archive: look into it, or group by model, "
            "key, project, organization or day");
    if (status == STATUS_UNSUPPORTED_FIELD)
        return admin_refuse(job, STATUS_BAD_FIELD, "group_by",
                            "'%s' buys from a reseller, whose project has its requests: "
                            "--project RESELLER:%s, or group by model, key, project or day",
                            job->args.project, job->args.project);
    if (status == STATUS_NOT_FOUND)
        return admin_refuse(job, status, "project", "there is no project '%s'", job->args.project);
    return status;
}

static enum status run_margin(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    struct margin_query q = { .from_us = job->from_us, .to_us = job->to_us };
    if (!margin_group(job->args.group_by, &q.group))
        return admin_refuse(job, STATUS_BAD_FIELD, "group_by",
                            "group by model, organization or model,organization");
    const char *reseller = job->args.reseller;
    enum status s = reseller ? admin_find_organization(job, db, reseller, &q.reseller) : STATUS_OK;
    if (s)
        return s;
    return margin_report(db, &q, &job->result);
}

static enum status run_recount_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    const struct recount_query q = {
        .from_us = job->from_us,
        .to_us = job->to_us,
        .project = job->args.project,
        .all = job->args.all,
        .limit = job->args.limit ? job->args.limit : USAGE_ROWS,
    };
    enum status status = recount_list(db, &q, &job->result);
    if (status == STATUS_NOT_FOUND)
        return admin_refuse(job, status, "project", "there is no project '%s'", job->args.project);
    return status;
}

static enum status run_audit(struct admin_job *job, struct db *db, int64_t now_us)
{
    db_deadline(db, AUDIT_DEADLINE_MS); /* it reads everything there is */
    return audit_run(db, now_us, &job->result);
}

/* ---- the daemon itself ---- */

/* For people in a sentence, for programs in parts. */
static json_t *price_line(const struct price_item *i)
{
    AUTO(buf_free) struct buf text;
    buf_init(&text, PRICE_TEXT_BYTES_MAX);
    json_t *line = price_json(i);
    if (!line || !decimal_item(&text, i))
        return line;
    json_object_set_new(line, "meter", json_string(meter_name(i->meter)));
    json_object_set_new(line, "unit", json_string(meter_unit(i->meter)));
    json_object_set_new(line, "price", json_string(text.at));
    return line;
}

static json_t *price_lines(const struct catalog_model *m)
{
    json_t *lines = json_array();
    for (unsigned i = 0; i < METER_COUNT; i++) {
        struct price_item plain;
        struct price_items items = model_prices(m, (enum meter)i, &plain);
        for (unsigned k = 0; k < items.count && !(m->derived >> i & 1); k++)
            json_array_append_new(lines, price_line(&items.at[k]));
    }
    return lines;
}

static json_t *capability_list(unsigned capabilities)
{
    json_t *list = json_array();
    const char *name;
    for (unsigned i = 0; (name = capability_name(i)); i++)
        if (capabilities >> i & 1)
            json_array_append_new(list, json_string(name));
    return list;
}

static json_t *model_object(const struct catalog_model *m)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s*, s:o, s:o}", "id", m->id, "level",
                     level_name(m->level), "life", life_name(m->life), "description",
                     or_empty(m->description), "parent", m->parent ? m->parent->id : NULL,
                     "capabilities", capability_list(m->capabilities), "prices", price_lines(m));
}

static enum status run_models(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    const struct catalog *c = daemon_catalog(job->daemon);
    AUTO(json_decref_ptr) json_t *list = json_array();
    for (size_t i = 0; i < c->model_count; i++)
        if (json_array_append_new(list, model_object(&c->models[i])) != 0)
            return STATUS_NO_MEMORY;
    return admin_answered(job, json_pack("{s:s, s:s, s:O}", "currency", c->currency, "price_book",
                                         c->price_book, "models", list));
}

static enum status run_reload(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    char err[CONF_ERROR_BYTES] = "";
    enum status status = daemon_reload(job->daemon, err);
    unsigned uid = job->peer.uid;
    if (status != STATUS_OK) {
        log_env("reload_refused nothing_changed=yes by_uid=%u by_pid=%d reason: %s", uid,
                job->peer.pid, err);
        return admin_refuse(job, status, "", "%s", err);
    }
    log_info("reloaded file=%s by_uid=%u by_pid=%d", job->daemon->conf_path, uid, job->peer.pid);
    return admin_answered(job, json_pack("{s:b}", "reloaded", 1));
}

static enum status run_status(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    return admin_answered(job, daemon_status(job->daemon));
}

static enum status run_health(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    struct daemon *d = job->daemon;
    return admin_answered(job, json_pack("{s:s, s:b, s:b, s:b}", "version", MAAS_VERSION, "ready",
                                         (int)atomic_load(&d->ready), "draining",
                                         (int)atomic_load(&d->draining), "ledger",
                                         (int)ledger_healthy(d->ledger)));
}

static enum status run_help(struct admin_job *job, struct db *db, int64_t now_us);

/* ---- the tables ---- */

static const struct json_spec no_args[] = { END };
static const struct json_spec project_create_args[] = {
    TEXT(slug, true, TEXT_MAX),
    TEXT(display_name, false, TEXT_MAX),
    TEXT(budget, false, TEXT_MAX),
    TEXT(budget_period, false, TEXT_MAX),
    TEXT(organization, false, TEXT_MAX),
    TEXT(cost_centre, false, TEXT_MAX),
    TEXT(buyer_name, false, TEXT_MAX),
    TEXT(buyer_address, false, ADDRESS_MAX),
    TEXT(buyer_tax_id, false, TEXT_MAX),
    TEXT(po_number, false, TEXT_MAX),
    TEXT(buyer_reference, false, TEXT_MAX),
    END,
};
static const struct json_spec set_budget_args[] = {
    TEXT(slug, true, TEXT_MAX),
    TEXT(budget, true, TEXT_MAX),
    TEXT(budget_period, false, TEXT_MAX),
    END,
};
static const struct json_spec key_create_args[] = {
    TEXT(project, true, TEXT_MAX),         TEXT(label, false, TEXT_MAX),
    TEXT(role, false, TEXT_MAX),           TEXT(expires, false, TEXT_MAX),
    COUNT(requests_per_minute, COUNT_MAX), COUNT(tokens_per_minute, COUNT_MAX),
    COUNT(concurrency, COUNT_MAX),         END,
};
static const struct json_spec key_list_args[] = { TEXT(project, false, TEXT_MAX), END };
static const struct json_spec key_revoke_args[] = { TEXT(name, true, 2 * TEXT_MAX), END };
static const struct json_spec usage_args[] = {
    TEXT(month, false, TEXT_MAX),
    TEXT(from, false, TEXT_MAX),
    TEXT(to, false, TEXT_MAX),
    TEXT(project, false, TEXT_MAX),
    TEXT(group_by, false, TEXT_MAX),
    COUNT(limit, USAGE_ROWS_MAX),
    END,
};
static const struct json_spec recount_args[] = {
    TEXT(month, false, TEXT_MAX),
    TEXT(from, false, TEXT_MAX),
    TEXT(to, false, TEXT_MAX),
    TEXT(project, false, TEXT_MAX),
    { "all", WANT_BOOL, false, offsetof(struct admin_args, all), 0, 0 },
    COUNT(limit, USAGE_ROWS_MAX),
    END,
};

static const struct json_spec margin_args[] = {
    TEXT(reseller, false, TEXT_MAX), TEXT(month, false, TEXT_MAX),    TEXT(from, false, TEXT_MAX),
    TEXT(to, false, TEXT_MAX),       TEXT(group_by, false, TEXT_MAX), END,
};

/* clang-format off */
const struct admin_command admin_commands[] = {
    { "alert.list",         ADMIN_READER, false, admin_alert_list_args, NULL,          run_alert_list,     "budgets, credits and prepaid funds that ran low, and who was told" },
    { "alert.redeliver",    ADMIN_LEDGER, false, admin_redeliver_args,prepare_redeliver,run_redeliver,     "tell the webhooks of an alert once more" },
    { "alert.test",         ADMIN_LATER,  false, courier_test_args,   NULL,            courier_test,       "one event that stands for nothing to a webhook, told step by step" },
    { "archive",            ADMIN_LATER,  false, admin_archive_args,  prepare_archive, run_archive,        "move the requests of a closed month, or of the oldest that is due, to a file" },
    { "archive.list",       ADMIN_READER, false, no_args,             NULL,            run_archive_list,   "months whose requests are in files of their own" },
    { "audit",              ADMIN_READER, false, no_args,             NULL,            run_audit,          "recompute every balance and total from the rows alone" },
    { "backend.disable",    ADMIN_MAIN,   false, admin_backend_args,  NULL,            run_backend_disable,"no new calls to a backend, over restarts, until it is enabled" },
    { "backend.drain",      ADMIN_MAIN,   false, admin_backend_args,  NULL,            run_backend_drain,  "no new calls to a backend until it is enabled or the daemon restarts" },
    { "backend.enable",     ADMIN_MAIN,   false, admin_backend_args,  NULL,            run_backend_enable, "a backend may be called again" },
    { "backend.list",       ADMIN_MAIN,   false, no_args,             NULL,            run_backend_list,   "backends: state, load and health" },
    { "backend.test",       ADMIN_LATER,  false, probe_args,          NULL,            probe_run,          "one request to a backend, told step by step; nobody pays for it" },
    { "backup",             ADMIN_LATER,  false, admin_backup_args,   prepare_backup,  run_backup,         "a whole, checked copy of the store as a new file, while it is in use" },
    { "charge.add",         ADMIN_LEDGER, false, admin_charge_args,   prepare_fund,    run_charge_add,     "an amount beside usage, for the next invoice" },
    { "contract.list",      ADMIN_READER, false, admin_org_args,      NULL,            run_contract_list,  "the contracts of an organization, newest first" },
    { "contract.set",       ADMIN_LEDGER, false, admin_contract_args, prepare_contract,run_contract_set,   "a contract that follows the one in force; what is not given stays" },
    { "credit_note.issue",  ADMIN_LEDGER, false, admin_credit_args,        prepare_document, run_credit_note,     "take back an invoice, a line of it, or a part of a line" },
    { "document.get",       ADMIN_READER, false, admin_document_args,      prepare_document, run_document_get,    "an issued document by its number" },
    { "document.list",      ADMIN_READER, false, admin_document_list_args, NULL,             run_document_list,   "issued documents, of one organization or of all" },
    { "document.requests",  ADMIN_READER, false, admin_line_requests_args, prepare_line_requests, run_line_requests, "the requests behind an invoice's lines of usage, page by page" },
    { "fund.add",           ADMIN_LEDGER, false, admin_fund_args,     prepare_fund,    run_fund_add,       "a grant, a bought commitment or a top-up" },
    { "fund.list",          ADMIN_READER, false, admin_org_args,      NULL,            run_fund_list,      "the funds of an organization and what is left of them" },
    { "health",             ADMIN_MAIN,   false, no_args,             NULL,            run_health,         "whether requests are being served" },
    { "help",               ADMIN_MAIN,   false, no_args,             NULL,            run_help,           "these commands and their arguments" },
    { "invoice.approve",    ADMIN_LEDGER, false, admin_approve_args,       prepare_document, run_invoice_approve, "say yes to the draft of a month that has ended" },
    { "invoice.cut",        ADMIN_LEDGER, false, admin_org_args,      NULL,            run_invoice_cut,    "end the current period now, for an invoice before the month is over" },
    { "invoice.get",        ADMIN_READER, false, admin_invoice_args,       prepare_document, run_invoice_get,     "the invoice of an organization and month, or its draft" },
    { "invoice.issue",      ADMIN_LEDGER, false, admin_invoice_args,       prepare_document, run_invoice_issue,   "number and freeze the invoice of a month that has ended" },
    { "invoice.pay",        ADMIN_LEDGER, false, admin_pay_args,           prepare_document, run_invoice_pay,     "note a payment of an invoice" },
    { "key.create",         ADMIN_LEDGER, true,  key_create_args,     prepare_key,     run_key_create,     "make a key; the answer is the only place where it can be read" },
    { "key.list",           ADMIN_READER, false, key_list_args,       NULL,            run_key_list,       "keys by name, never their secret" },
    { "key.revoke",         ADMIN_LEDGER, true,  key_revoke_args,     prepare_key,     run_key_revoke,     "end a key by name or PROJECT/LABEL; dead when this returns" },
    { "margin",             ADMIN_READER, false, margin_args,         prepare_usage,   run_margin,         "what models and customers bring, less what backends cost" },
    { "models",             ADMIN_MAIN,   false, no_args,             NULL,            run_models,         "the catalog with prices" },
    { "org.create",         ADMIN_LEDGER, false, admin_org_create_args,NULL,            run_org_create,     "make an organization: who pays" },
    { "org.list",           ADMIN_READER, false, no_args,             NULL,            run_org_list,       "organizations, what they owe and what funds are left" },
    { "org.seller",         ADMIN_LEDGER, false, admin_seller_args,   prepare_seller,  run_org_seller,     "in whose name, series and tax the documents of a reseller's customers are issued" },
    { "payout",             ADMIN_READER, false, admin_payout_args,   prepare_document,run_payout,         "what a partner has earned by the documents of a month" },
    { "price.approve",      ADMIN_LEDGER, false, admin_price_approve_args, prepare_price_approve, run_price_approve, "the second person says yes to a draft: it will be in force" },
    { "price.approver.add", ADMIN_LEDGER, false, admin_approver_add_args,  NULL,           run_approver_add,   "somebody who may propose and approve with a key of their own" },
    { "price.approver.list",ADMIN_READER, false, no_args,             NULL,            run_approver_list,  "approvers by name, never their secret" },
    { "price.approver.revoke",ADMIN_LEDGER, false, admin_approver_args, NULL,          run_approver_revoke,"end an approver's key" },
    { "price.diff",         ADMIN_READER, false, admin_diff_args,     prepare_price_diff,run_price_diff,   "what one price book says otherwise than another" },
    { "price.lint",         ADMIN_READER, false, admin_lint_args,     prepare_price_lint,run_price_lint,     "whether a price book has a price for everything, and how exactly" },
    { "price.list",         ADMIN_READER, false, no_args,             NULL,            run_price_list,     "price books: drafts, scheduled, in force, past" },
    { "price.publish",      ADMIN_LEDGER, false, admin_publish_args,  prepare_price_publish,run_price_publish, "propose a price book: a draft that a second person approves" },
    { "price.show",         ADMIN_READER, false, admin_price_show_args,prepare_price_show,run_price_show,  "the prices of a version, a draft, or those in force" },
    { "price.simulate",     ADMIN_READER, false, admin_simulate_args, prepare_simulate,run_price_simulate, "a past month rated again with another price book: who pays what more" },
    { "price.withdraw",     ADMIN_LEDGER, false, admin_withdraw_args, prepare_price_withdraw,run_price_withdraw, "propose the end of an organization's price book: the list again" },
    { "project.create",     ADMIN_LEDGER, false, project_create_args, prepare_budget,  run_project_create, "make a project with its budget and invoice address" },
    { "project.list",       ADMIN_READER, false, no_args,             NULL,            run_project_list,   "projects and budgets" },
    { "project.set_budget", ADMIN_LEDGER, false, set_budget_args,     prepare_budget,  run_set_budget,     "change a project's budget" },
    { "recount.list",       ADMIN_READER, false, recount_args,        prepare_usage,   run_recount_list,   "requests whose tokens the gateway counts other than their backend" },
    { "reload",             ADMIN_MAIN,   false, no_args,             NULL,            run_reload,         "read the configuration again; a bad file changes nothing" },
    { "request.get",        ADMIN_READER, false, admin_request_args,  NULL,            run_request_get,    "all that the store knows of one request, by its id" },
    { "share.list",         ADMIN_READER, false, no_args,             NULL,            run_share_list,     "the shares in force" },
    { "share.set",          ADMIN_LEDGER, false, admin_share_args,    NULL,            run_share_set,      "what a partner gets of the lines of a model" },
    { "statement",          ADMIN_READER, false, admin_statement_args,     prepare_document, run_statement,       "an issued invoice, cost centre by cost centre" },
    { "status",             ADMIN_MAIN,   false, no_args,             NULL,            run_status,         "loops, backends, ledger in numbers" },
    { "trial_balance",      ADMIN_READER, false, admin_trial_args,    NULL,            run_trial_balance,  "what stands in the double entry of the operator, or of a reseller" },
    { "usage",              ADMIN_READER, false, usage_args,          prepare_usage,   run_usage,          "what was used, by model, key, project or day" },
    { 0 },
};
/* clang-format on */

const struct admin_command *admin_command_find(const char *name)
{
    for (const struct admin_command *c = admin_commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static enum status run_help(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)db, (void)now_us;
    AUTO(json_decref_ptr) json_t *list = json_array();
    for (const struct admin_command *c = admin_commands; c->name; c++) {
        json_t *args = json_array();
        for (const struct json_spec *spec = c->args; spec->key; spec++)
            json_array_append_new(args, json_string(spec->key));
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:s}", "command", c->name, "args", args, "help", c->help));
    }
    return admin_answered(job, json_pack("{s:O}", "commands", list));
}
