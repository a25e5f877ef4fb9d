/* gateway/admin_alerts.h -- alerts: the commands.  `alert.test` is courier.h's. */
#ifndef MAAS_ADMIN_ALERTS_H
#define MAAS_ADMIN_ALERTS_H
#include "gateway/admin_job.h"

extern const struct json_spec admin_alert_list_args[], admin_redeliver_args[];

enum status run_alert_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_redeliver(struct admin_job *job);
enum status run_redeliver(struct admin_job *job, struct db *db, int64_t now_us);
#endif
