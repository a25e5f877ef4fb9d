/* gateway/admin_backends.h -- what an operator can say to a backend at run time. */
#ifndef MAAS_ADMIN_BACKENDS_H
#define MAAS_ADMIN_BACKENDS_H
#include "gateway/admin_job.h"

enum status run_backend_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_backend_drain(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_backend_disable(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_backend_enable(struct admin_job *job, struct db *db, int64_t now_us);

extern const struct json_spec admin_backend_args[];
#endif
