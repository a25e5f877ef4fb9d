/* tests/helpers/books_fixture.h -- a ledger in a directory of its own, with a clock
 * moved by hand, and operations that wait for their answer. */
#ifndef MAAS_BOOKS_FIXTURE_H
#define MAAS_BOOKS_FIXTURE_H
#include "base/db.h"
#include "billing/document.h"
#include "billing/ledger.h"
#include "billing/usage_page.h"

struct fixture {
    char dir[64];
    struct ledger *ledger;
    struct env env;
    _Atomic int64_t wall_us, mono_ns;
    rid_t next_rid;
    struct idem_limits idem; /* of the next opening */
};

/* 2026-11-15T12:00:00Z */
#define FIXTURE_NOW_US INT64_C(1794744000000000)

void fixture_init(struct fixture *f); /* makes the directory and opens the ledger */
void fixture_open(struct fixture *f); /* again, after fixture_close */
enum status fixture_try_open(struct fixture *f, char err[static 256]);
void fixture_close(struct fixture *f);
void fixture_free(struct fixture *f); /* closes and removes the directory */
/* For a checked fixture of tests that need no more: opened, with a catalog and a project that has money,
 * whose id is returned; and its end, at which the audit must be clean. */
int64_t fixture_rich(struct fixture *f);
void fixture_end(struct fixture *f);

/* With the id that project_id then has; name ids and prices come from fixture_catalog. */
int64_t fixture_project(struct fixture *f, const char *slug, int64_t budget_atoms,
                        const char *period);
/* Models "base/chat" (1), "domain/vision" (2), backend "box" (3), and price version 1. */
void fixture_catalog(struct fixture *f);

struct ledger_hold fixture_hold_of(struct fixture *f, int64_t project, int64_t atoms);
enum status fixture_hold(struct fixture *f, struct ledger_hold *h);
/* Input and output tokens of base/chat at 25000 and 100000 atoms. */
struct ledger_settle fixture_settle_of(const struct ledger_hold *h, uint64_t in, uint64_t out);
enum status fixture_settle(struct fixture *f, struct ledger_settle *s);
enum status fixture_submit(struct fixture *f, struct ledger_op *op);
/* Hold and settle; returns the request's id. */
rid_t fixture_request(struct fixture *f, int64_t project, uint64_t in, uint64_t out);

/* Issues what "acme" owes for 2026-11, which must have ended, at 19 %; the invoice's number. */
void fixture_invoice(struct fixture *f, char ret_number[static DOCUMENT_NUMBER_BYTES]);

/* The first column of the first row, by a connection of its own. */
int64_t fixture_int(struct fixture *f, const char *sql);
struct db *fixture_reader(struct fixture *f);
/* What usage_page answers; free() it. */
char *fixture_page(struct fixture *f, const struct usage_page_query *q, enum status expected);
/* Runs a statement behind the ledger's back; the ledger must be closed. */
void fixture_tamper(struct fixture *f, const char *sql);
/* Fails the test unless the audit finds nothing. */
void fixture_audit_clean(struct fixture *f);
/* How many problems the audit finds. */
long fixture_audit_problems(struct fixture *f);
#endif
