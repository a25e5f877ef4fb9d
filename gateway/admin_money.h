/* gateway/admin_money.h -- who pays, under which contract, with which funds: the commands. */
#ifndef MAAS_ADMIN_MONEY_H
#define MAAS_ADMIN_MONEY_H
#include "gateway/admin_job.h"

/* The organisation called `slug`; NOT_FOUND with its sentence. */
enum status admin_find_organization(struct admin_job *job, struct db *db, const char *slug,
                                    int64_t *ret);
/* A new one, of the arguments slug, display_name and those of the buyer.  Errors as
 * organization_create's. */
enum status admin_create_organization(const struct admin_job *job, struct db *db, int64_t now_us,
                                      int64_t *ret);

enum status run_org_create(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_seller(struct admin_job *job);
enum status run_org_seller(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_trial_balance(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_org_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_contract(struct admin_job *job);
enum status run_contract_set(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_contract_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_fund(struct admin_job *job);
enum status run_fund_add(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_fund_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_charge_add(struct admin_job *job, struct db *db, int64_t now_us);

extern const struct json_spec admin_org_create_args[], admin_seller_args[], admin_trial_args[],
    admin_org_args[], admin_contract_args[], admin_fund_args[], admin_charge_args[];
#endif
