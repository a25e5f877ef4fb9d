/* billing/audit_inside.h -- what the files of the audit share.
 *
 * audit.c runs the checks and reports; audit_rate.c reads prices and rates a line;
 * audit_requests.c goes through every request; audit_books.c compares sums, accounts and invoices with what came
 * out of that.  None of it calls the ledger or its arithmetic.
 */
#ifndef MAAS_AUDIT_INSIDE_H
#define MAAS_AUDIT_INSIDE_H
#include "base/db.h"
#include "billing/report.h"
#include "billing/tally.h"
#include "conf/price_item.h"

struct audit {
    struct db *db;
    int64_t now_us;
    json_t *problems;    /* the first AUDIT_PROBLEMS_MAX sentences */
    int64_t rows, found; /* of the check that runs */
    int64_t newest_boot, last_settled_us;
    bool is_archive; /* a file of one month: billing/archive.h */
    /* Recomputed from settlements alone: */
    struct tally
        usage; /* hour, project, key, model, meter, price version, item, period, how it was called -> qty, requests, atoms, covered */
    struct tally posted; /* hour, organisation -> atoms owed, atoms of each kind of fund */
    struct tally drawn;  /* fund -> atoms */
    struct tally spent;  /* project -> atoms */
    struct tally funds;  /* fund -> kind, amount, organisation, model: as the rows say */
    struct tally costs;  /* hour, project, model, backend, period -> attempts, cost, wasted */
    struct tally
        cost_posted; /* batch or -archive, organisation -> upstream_cost, goodwill, upstream_payable */
    struct tally
        prices; /* price version (those of costs are negative), model, meter, item -> atoms, per units, place in items */
    struct tally
        counts; /* organisation, period, model, series -> units, the end of the count, squares */
    struct price_item *items; /* those that are not plain; a place is from 1 */
    size_t item_count, item_room;
    struct arena *words; /* that the items name, and their tiers */
    struct
        audit_term { /* of books that two people published, by organization (0: the list, negative: what the
                       * customers of one pay) and start */
        int64_t organization, from_us, version, version_from_us;
        bool says; /* anything: else the list holds */
    } * terms;
    size_t term_count;
    struct audit_layer { /* of which two versions another is made, by that */
        int64_t version, list, own;
    } * layers;
    size_t layer_count;
    struct audit_alert_sums { /* of one organisation's accounts, entry by entry */
        int64_t organization, owed, prepaid, last_archived;
    } alert_sums;
};

struct audit_facts { /* what a settlement says of the request that it prices */
    bool given;
    int64_t context;
    struct span dim[PRICE_DIMS];
};

struct audit_line {
    int64_t rid, version, model, accepted_us, organization, period; /* of its request */
    const struct audit_facts *facts;
    int64_t meter, qty, atoms, item, before;
};

enum { AUDIT_PROBLEMS_MAX = 200, AUDIT_LINES_MAX = 64 };

__attribute__((format(printf, 2, 3))) void audit_problem(struct audit *a, const char *format, ...);

/* Steps through a query and calls `row` for each; the query is bound and prepared by the caller. */
MUST_CHECK enum status audit_each(struct audit *a, struct db_stmt *s,
                                  enum status (*row)(struct audit *a, struct db_stmt *s));
MUST_CHECK enum status audit_query(struct audit *a, const char *sql,
                                   enum status (*row)(struct audit *a, struct db_stmt *s));

/* How a model was called, as one number of the audit's own; -1: that cannot be. */
int64_t audit_how(const char *endpoint, struct span tier, bool long_context);
/* Reads "[n,...]" of at most `most` numbers at `at`; returns what follows, NULL: it is none. */
const char *audit_numbers(const char *at, int64_t *const fields[], unsigned most);
/* The lines of a settlement or an attempt, and what chose their prices; -1: they cannot be read. */
int audit_read_lines(const char *text, struct audit_line lines[static AUDIT_LINES_MAX],
                     struct audit_facts *facts);
/* audit_funds.c: one settlement's draws, added up; *ret_covered: what funds paid of it. */
MUST_CHECK enum status audit_draws(struct audit *a, struct db_stmt *request, int64_t *ret_covered);

/* clang-format off */
enum { /* columns of a request and its settlement, for audit_requests.c and audit_funds.c */
    O_RID, O_PROJECT, O_KEY, O_ENDPOINT, O_PRICES, O_HOLD, O_ACCEPTED, O_BOOT,
    S_RID, S_PROJECT, S_KEY, S_ENDPOINT, S_PRICES, S_MODEL, S_AMOUNT,
    S_SETTLED, S_LINES, S_OUTCOME, S_DRAWS, S_ORGANIZATION, S_PERIOD, S_ARCHIVE, O_PAYER,
};
/* clang-format on */

/* audit_rate.c: price books, and a line held against them. */
enum status audit_prices(struct audit *a);
MUST_CHECK enum status audit_line(struct audit *a, const struct audit_line *l);
enum status audit_counts(struct audit *a);
/* An item of a price version; false: there is no such one. */
bool audit_find_item(const struct audit *a, int64_t version, int64_t model, int64_t meter,
                     int64_t number, struct price_item *ret);
/* Its meter, kind and conditions, whatever its amounts. */
int64_t audit_series(const struct price_item *i);
int64_t audit_rated(int64_t qty, struct price p);

/* audit_volume.c: the pairs of lines by which an invoice gives back of volume prices.  The usage of
 * its period: model, meter, version, item -> units, owed, charged, lines that were seen. */
enum { AUDIT_REVERSAL = 1, AUDIT_VOLUME = 2 };
void audit_volume_line(struct audit *a, const char *document, const struct tally *usage,
                       const int64_t key[static TALLY_KEYS], int which, int64_t exact);
MUST_CHECK enum status audit_volume_end(struct audit *a, const char *document,
                                        const struct tally *usage);

/* audit_published.c: price books of two people, and which was in force for a request. */
enum status audit_published(struct audit *a);
void audit_acceptance(struct audit *a, int64_t rid, int64_t version, int64_t accepted_us,
                      int64_t organization);
/* audit_layers.c: the list with the book of an organization on it. */
MUST_CHECK enum status audit_layers(struct audit *a);
const struct audit_layer *audit_layer_of(const struct audit *a, int64_t version); /* NULL: none */

/* audit_requests.c: a row of the columns above. */
enum status audit_request(struct audit *a, struct db_stmt *s);
/* audit_resale.c: what customers of resellers owe. */
enum status audit_resale(struct audit *a);
enum status audit_boots(struct audit *a);
/* audit_archives.c: what stands for months that have left. */
enum status audit_archives(struct audit *a);
/* audit_books.c: adds to what an organisation owed (kind 0) or a kind of fund paid, by a settlement of
 * the batch at_us, or takes it away, by a posting.  False: no memory. */
MUST_CHECK bool audit_post(struct audit *a, int64_t at_us, int64_t organization, int64_t kind,
                           int64_t atoms);
/* Of what an organisation owes, and funds paid, in the months of an archive. */
MUST_CHECK struct tally_row *audit_archived(struct audit *a, int64_t archive, int64_t organization);
enum status audit_funds(struct audit *a);
enum status audit_fund_balances(struct audit *a);
enum status audit_spent(struct audit *a);
enum status audit_requests(struct audit *a);
enum status audit_keys(struct audit *a);
enum status audit_rollups(struct audit *a);
enum status audit_ledger(struct audit *a);
enum status audit_balances(struct audit *a);
enum status audit_documents(struct audit *a);
enum status audit_shares(struct audit *a);
enum status audit_costs(struct audit *a);
enum status audit_recounts(struct audit *a);
enum status audit_alerts(struct audit *a);
#endif
