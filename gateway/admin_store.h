/* gateway/admin_store.h -- backups and archives: the commands. */
#ifndef MAAS_ADMIN_STORE_H
#define MAAS_ADMIN_STORE_H
#include "gateway/admin_job.h"

extern const struct json_spec admin_backup_args[], admin_archive_args[];

enum status prepare_backup(struct admin_job *job);
enum status run_backup(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_archive(struct admin_job *job);
enum status run_archive(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_archive_list(struct admin_job *job, struct db *db, int64_t now_us);
#endif
