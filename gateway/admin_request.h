/* gateway/admin_request.h -- one request by its id: the command. */
#ifndef MAAS_ADMIN_REQUEST_H
#define MAAS_ADMIN_REQUEST_H
#include "gateway/admin_job.h"

extern const struct json_spec admin_request_args[];

enum status run_request_get(struct admin_job *job, struct db *db, int64_t now_us);
#endif
