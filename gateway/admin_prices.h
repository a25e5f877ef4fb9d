/* gateway/admin_prices.h -- price books before they are in force, and as they come into it: the commands. */
#ifndef MAAS_ADMIN_PRICES_H
#define MAAS_ADMIN_PRICES_H
#include "gateway/admin_job.h"

enum status run_price_lint(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_price_diff(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_simulate(struct admin_job *job);
enum status run_price_simulate(struct admin_job *job, struct db *db, int64_t now_us);

extern const struct json_spec admin_lint_args[], admin_diff_args[], admin_simulate_args[];
#endif
