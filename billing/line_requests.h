/* billing/line_requests.h -- the requests that an invoice's lines of usage are the sums of.
 *
 * What an auditor asks of a line: each request with its id, its units and what they cost, and of the line the
 * price in words with the digest of the book that says it.  Units and amounts of all requests of a line
 * add up to its quantity and to its exact amount and what funds covered.  Read from the settlements,
 * those of a reseller's customer from its own leg; when the month is in an archive, from that file.
 * Any connection that reads; blocks while a file is read. */
#ifndef MAAS_LINE_REQUESTS_H
#define MAAS_LINE_REQUESTS_H
#include "base/rid.h"
#include "base/status.h"
#include <jansson.h>

struct db;

enum { LINE_REQUESTS_DEFAULT = 100, LINE_REQUESTS_MAX = 1000 };

struct line_requests_query {
    const char *number;    /* of an issued invoice */
    int64_t line;          /* 0: all lines of usage */
    const char *after;     /* next_page of the page before; NULL: from the first */
    int64_t limit;         /* rows, 1 to LINE_REQUESTS_MAX; the last request is told whole */
    const char *state_dir; /* where archives are */
};
/* {"object":"list","document","currency","lines":[{"line","model","meter","unit","unit_price",
 * "price_version","price_book","price_sha256","quantity","covered","exact"}],
 * "data":[{"request","settled_at","project","key","endpoint","outcome","evidence","line","quantity",
 * "amount","before"}],"has_more","next_page"}, by request.  A page looks at a bounded number of requests,
 * of all organizations: it may have fewer rows than `limit`, or none, and yet has_more.
 * NOT_FOUND: no such document; BAD_FIELD: err says what is wrong with number, line or after;
 * STORE_FAILED: err says which archive cannot be read, "" when it is the store. */
MUST_CHECK enum status line_requests(struct db *db, const struct line_requests_query *q,
                                     json_t **ret, char err[static 256]);
/* A page as RFC 4180, each row with what its line says of the price; free() it.  NULL: no memory. */
char *line_requests_csv(const json_t *page);
#endif
