/* billing/archive_inside.h -- what the files of the archive share. */
#ifndef MAAS_ARCHIVE_INSIDE_H
#define MAAS_ARCHIVE_INSIDE_H
#include "base/status.h"
#include <jansson.h>

struct db;

/* Postings of requests, a few for each batch: these leave, all others stay. */
#define ARCHIVE_TX_KINDS "('usage', 'upstream')"

/* Ids of the billing periods of the month in which anything was used, each of them issued;
 * else CONFLICT, and err says whose is not. */
MUST_CHECK enum status archive_periods(struct db *db, const char *month, json_t *ids,
                                       char err[static 256]);
#endif
