/* billing/trace.h -- all that the store knows of one request, found by its id. */
#ifndef MAAS_TRACE_H
#define MAAS_TRACE_H
#include "base/rid.h"
#include "base/status.h"
#include <jansson.h>

struct db;

/* {"request","rid","state":"running|settled","project","organization","key","label","model","endpoint",
 *  "price_version","accepted_at","held","calls":[{"number","backend","model","basis","cost","wasted"}]} and of
 * one that is settled {"settled_at","outcome","evidence","amount","http_status","model_billed",
 * "model_served","backend","first_byte_us" (or null),"duration_us","usage":[{"meter","quantity","amount"}]},
 * of one that was resold {"resold":{"project","amount","price_version"}}.
 * NOT_FOUND: it was refused before it was held, or never was.  CONFLICT: it left with the month that is then
 * in `month`. */
enum { TRACE_MONTH_BYTES = 8 };
MUST_CHECK enum status trace_request(struct db *db, rid_t rid, json_t **ret,
                                     char month[static TRACE_MONTH_BYTES]);
#endif
