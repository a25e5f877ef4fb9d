/* billing/report.h -- what finance reads: usage, and the audit; documents are in document.h.
 *
 * All of these run on any connection (the reader thread's, or read-only from the
 * command line) and build jansson trees or text; they never write.
 */
#ifndef MAAS_REPORT_H
#define MAAS_REPORT_H
#include "base/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct db;

struct usage_query {
    int64_t from_us, to_us; /* half-open; whole hours */
    const char *project;    /* slug; NULL: all that the operator bills */
    int64_t project_id;     /* instead of a slug; 0: none */
    int64_t key_id;         /* 0: all */
    const char *group_by; /* "model", "key", "project", "organization", "served", "backend", "day";
                             NULL: model */
    int64_t limit;        /* rows, 1..10000 */
};
/* {"object":"list","currency":..,"from":..,"to":..,"data":[{..group.., "requests":n, "usage":{meter:qty..}, "amount":"0.0012"}],"total":".."} */
/* CONFLICT: grouped by what only requests know, and some of that time are in an archive;
 * UNSUPPORTED_FIELD: likewise, of a customer of a reseller, whose requests are its twin's. */
MUST_CHECK enum status report_usage(struct db *db, const struct usage_query *q, json_t **ret);

struct seller {
    const char *name, *address, *tax_id, *series;
    int64_t tax_basis_points;
    int minor_digits;
};
/* The project called slug; NOT_FOUND. */
MUST_CHECK enum status report_project(struct db *db, const char *slug, int64_t *ret);
/* The store's, a JSON text; the caller's. */
MUST_CHECK enum status report_currency(struct db *db, json_t **ret);
/* "2026-11" -> half-open interval, UTC. False: not a month. */
MUST_CHECK bool report_month(const char *month, int64_t *ret_from_us, int64_t *ret_to_us);

/* Recomputes everything from rows alone, with code that shares no arithmetic with
 * the ledger, in one read transaction on a read-only connection (the deadline is the
 * caller's to set).  *ret: {"ok":bool,"checks":[{"name","rows","problems"}],"problems":[text..]}. */
MUST_CHECK enum status audit_run(struct db *db, int64_t now_us, json_t **ret);
#endif
