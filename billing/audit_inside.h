/* billing/audit_inside.h -- what the files of the audit share.
 *
 * audit.c reads prices, runs the checks and reports; audit_requests.c goes through
 * every request; audit_books.c compares sums, accounts and invoices with what came
 * out of that.  None of it calls the ledger or its arithmetic.
 */
#ifndef MAAS_AUDIT_INSIDE_H
#define MAAS_AUDIT_INSIDE_H
#include "base/db.h"
#include "billing/report.h"
#include "billing/tally.h"

struct audit {
    struct db *db;
    int64_t now_us;
    json_t *problems;    /* the first AUDIT_PROBLEMS_MAX sentences */
    int64_t rows, found; /* of the check that runs */
    int64_t newest_boot, last_settled_us;
    /* Recomputed from settlements alone: */
    struct tally
        usage; /* hour, project, key, model, meter, price version -> qty, requests, atoms */
    struct tally posted; /* batch, project -> atoms */
    struct tally prices; /* price version, model, meter -> atoms, per units */
};

enum { AUDIT_PROBLEMS_MAX = 200 };

__attribute__((format(printf, 2, 3))) void audit_problem(struct audit *a, const char *format, ...);

/* Steps through a query and calls `row` for each; the query is bound and prepared by the caller. */
MUST_CHECK enum status audit_each(struct audit *a, struct db_stmt *s,
                                  enum status (*row)(struct audit *a, struct db_stmt *s));
MUST_CHECK enum status audit_query(struct audit *a, const char *sql,
                                   enum status (*row)(struct audit *a, struct db_stmt *s));

enum status audit_boots(struct audit *a);
enum status audit_requests(struct audit *a);
enum status audit_rollups(struct audit *a);
enum status audit_ledger(struct audit *a);
enum status audit_balances(struct audit *a);
enum status audit_invoices(struct audit *a);
#endif
