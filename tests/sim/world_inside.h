/* tests/sim/world_inside.h -- what the parts of the simulated world share: who buys there, and the
 * model of what the ledger has promised.  See world.h.
 */
#ifndef MAAS_SIM_WORLD_INSIDE_H
#define MAAS_SIM_WORLD_INSIDE_H
#include "billing/books.h"
#include "billing/report.h"
#include "conf/catalog_alerts.h"
#include "tests/sim/prices.h"
#include "tests/sim/world.h"

enum { OPEN_MAX = 64, BATCH_MAX = 12, REQUESTS_MAX = 1 << 16, PROJECTS_MAX = 16, LEGS_MAX = 2 };
#define WORLD_PATH  "/tmp/maasgate-simulated.db"
#define WORLD_START INT64_C(1806537600000000) /* 2027-04-01 */
#define WORLD_DAY   (INT64_C(24) * 3600 * 1000000)

/* ---- who buys ------------------------------------------------------------------------------ */

/* Each an organization with a project of the same name.  Row ids are the places here, from 1. */
enum world_buyer { PAYG, ON_CREDIT, SUBSCRIBER, OWN_BOOK, RESELLER, BRANCH, CORNER, WORLD_BUYERS };

struct world_buyer_terms {
    const char *slug, *plan;
    int64_t reseller, credit; /* 0: the operator; < 0: no limit */
    int64_t budget, twin_budget;
    int64_t funds; /* how large those are that it gets */
};
extern const struct world_buyer_terms world_buyers[WORLD_BUYERS];

static inline int64_t world_organization(enum world_buyer b)
{
    return 1 + (int64_t)b;
}
/* Who has a book, or whose customers have one. */
enum { WORLD_BOOKS = 4 };
extern const struct book_owner world_books[WORLD_BOOKS];

/* Makes all of them; inside a transaction.  Fills in world.projects and world.seats. */
MUST_CHECK enum status world_found(struct db *db);
extern const struct seller world_house;
extern const struct catalog_alerts world_alerts;

/* ---- what was promised --------------------------------------------------------------------- */

enum promise { NOTHING, HELD, SETTLED, ORPHANED };

/* Of a request by itself, or each of the two of one that is resold: the first is of whom the
 * operator sells to. */
struct leg {
    int64_t project, amount;       /* amount: when settled */
    int64_t hold, held;            /* in memory: what is being committed included; promised */
    const struct sim_price *price; /* while it is open */
    int64_t unit;                  /* its price's, for ever */
    int64_t credit_held;           /* by all of its payer's, before it was held */
};

struct request {                 /* what the ledger has promised of it */
    enum promise promise, maybe; /* maybe: of the batch that is being committed */
    unsigned legs;
    struct leg leg[LEGS_MAX];
    uint32_t tokens, most;       /* settled; held for */
    uint32_t noted, noted_maybe; /* by its checkpoint */
    bool checkpointed;
    uint8_t grown; /* how often its hold has */
};

struct project {
    const char *slug; /* NULL: there is none */
    int64_t organization, limit, limit_maybe;
    int64_t spent;               /* in memory: what is being committed included */
    unsigned crossed;            /* thresholds, as of the last batch */
    bool stopped, stopped_maybe; /* a request was refused under this limit */
};

struct tally { /* rows that only become more */
    const char *what, *sql;
    uint64_t promised, maybe;
};
enum { FUNDS, INVOICES, BOOKS_PUBLISHED, DELIVERIES, TALLIES };

extern struct world {
    struct db *db;
    struct books books;
    int64_t now_us;
    rid_t next_rid;
    struct request *requests; /* by rid - 1 */
    rid_t open[OPEN_MAX];
    unsigned open_count;
    rid_t touched[BATCH_MAX]; /* in this batch */
    unsigned touched_count;
    struct project projects[PROJECTS_MAX]; /* by row id */
    int64_t seats[WORLD_BUYERS][LEGS_MAX]; /* projects of each; [1] 0: nobody sells on */
    struct tally tallies[TALLIES];
    char err[256]; /* why the store did not open */
} world;

static inline struct request *world_request(rid_t rid)
{
    return &world.requests[rid - 1];
}
unsigned world_dice(unsigned sides);
__attribute__((format(printf, 1, 2))) void world_violation(const char *fmt, ...);
unsigned world_violations(void);
void world_forget_violations(unsigned but); /* those after so many; and all that was reported */
MUST_CHECK bool world_open_db(bool normal);
MUST_CHECK bool world_open_books(void); /* recovers */

/* ---- requests.c: one operation of a random request, in a batch ------------------------------ */

MUST_CHECK enum status request_hold_one(void);
MUST_CHECK enum status request_settle_one(void);
MUST_CHECK enum status request_note_one(void); /* its checkpoint */
MUST_CHECK enum status request_grow_one(void);
void requests_promise(void); /* the batch is on disk */

/* ---- memory.c: what the ledger holds in memory is what the model says ----------------------- */

void memory_check(void);
/* Around a hold: what it takes of credit was there. */
void memory_note_credit(struct request *r);
void memory_check_credit(const struct request *r);

/* ---- check.c ------------------------------------------------------------------------------- */

void check_audit(void);
void check_new_alerts(void); /* of budgets, after a batch */
#endif
