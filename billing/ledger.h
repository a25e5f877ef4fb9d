/* billing/ledger.h -- the only door to money, and the only writer of the store.
 *
 * One thread owns the one read-write connection.  Other threads submit
 * operations; the thread takes what has gathered, applies it in one transaction
 * (synchronous=FULL), and calls `done` of each operation ON THE LEDGER THREAD
 * after the commit: an operation that is done with STATUS_OK is on disk.  `done`
 * must only hand the operation back to its owner (a queue and a wake-up).
 *
 * hold   insert #1, durable before a byte goes to a backend; refused with
 *        NO_QUOTA when budget - settled - other holds < hold.
 * settle insert #2, durable before the last byte of the answer; at most once per
 *        request (primary key); amount <= hold is asserted.  A request that
 *        costs nothing (failed before any token, refused) is settled with 0.
 * Between them a request may say more: running.h, checkpoint.h.
 * Every hold is settled: by the request, or by recovery at the next start.
 */
#ifndef MAAS_LEDGER_H
#define MAAS_LEDGER_H
#include "base/env.h"
#include "base/mpsc.h"
#include "base/rid.h"
#include "billing/bill.h"
#include "billing/idem.h"
#include "billing/marks.h"
#include <stdatomic.h>

struct db;
struct ledger;
struct recount_row;

enum ledger_kind {
    LEDGER_HOLD,
    LEDGER_SETTLE,
    LEDGER_CALL,
    LEDGER_MORE,
    LEDGER_CHECKPOINT,
    LEDGER_KINDS
};

struct ledger_op { /* embed it first; owned by the submitter, lent until done */
    struct mpsc_node node;
    enum ledger_kind kind;
    enum status status; /* valid in done */
    void (*done)(struct ledger_op *op);
};

struct ledger_hold {
    struct ledger_op op;
    rid_t rid;
    int64_t project, key, model; /* row ids */
    enum endpoint endpoint;
    int64_t price_version;
    int64_t estimate_in, max_out, n;
    money_t hold; /* >= 0: an upper bound of what the request can cost */
    int64_t accepted_us;
    struct idem *idem; /* CONFLICT: its key is taken, idem->found; NULL: it brings no key */
    const struct resale_hold *resale; /* lent until done; NULL: nobody sells on.  Both or neither */
};

struct ledger_settle {
    struct ledger_op op;
    rid_t rid;
    int64_t project, key, model, model_served, backend; /* row ids; backend 0: none was reached */
    enum endpoint endpoint;
    int64_t price_version;
    money_t hold; /* as it was held */
    enum outcome outcome;
    enum evidence evidence;
    struct bill_line lines[BILL_LINES_MAX];
    unsigned line_count;
    const char *facts; /* what chose the items, a JSON object; lent until done; NULL: all plain */
    /* Of a model with prices by the period, lent until done: the ledger rates what the lines used
     * again, by what the period has used before, and `lines` and `amount` are its answer. */
    const struct price_sheet *sheet;       /* NULL: the lines are the bill */
    const struct price_facts *chosen_by;   /* context and all */
    money_t amount;                        /* sum of the lines */
    const struct ledger_attempt *attempts; /* in their order; lent until done */
    unsigned attempt_count;
    int64_t first_byte_us, duration_us; /* since acceptance; first_byte_us < 0: none */
    int64_t http_status;
    const struct idem *idem;           /* whose answer is to be kept; NULL: none is */
    bool checkpointed;                 /* it has a row of checkpoint.h, which goes with this */
    const struct recount_row *recount; /* lent until done; NULL: the gateway did not count */
    struct draws held, paid;           /* the ledger's: what the hold had taken, and what paid */
    struct ledger_settle *resale; /* its leg at retail (resale.h), lent; NULL: nobody sells on */
    bool is_resale;               /* this is such a leg */
};

/* Anything else that writes (administration) or must see the newest rows.  On the ledger thread in the
 * batch's transaction, in a savepoint of its own that is rolled back unless it returns STATUS_OK. */
struct ledger_call {
    struct ledger_op op;
    enum status (*run)(struct ledger_call *call, struct db *db, int64_t now_us);
    void *arg;
};

struct ledger_options {
    const char *dir;      /* ledger.db, ledger.lock */
    const char *currency; /* refused when the store has another */
    const struct env *env;
    uint64_t checkpoint_wal_bytes; /* 0: default */
    struct idem_limits idem;
};

/* Takes the lock, opens, migrates, checks, recovers what the last run left open,
 * rebuilds holds and budgets, starts the thread.  err: one sentence. */
MUST_CHECK enum status ledger_open(const struct ledger_options *o, struct ledger **ret,
                                   char err[static 256]);
/* Finishes what was submitted, checkpoints, closes.  No submissions may follow. */
void ledger_close(struct ledger *l);

/* Any thread; never blocks, never fails: the answer comes in done. */
void ledger_submit(struct ledger *l, struct ledger_op *op);
/* Several at once, linked by their nodes from the newest to the oldest: they share a commit. */
void ledger_submit_all(struct ledger *l, struct mpsc_node *newest, struct mpsc_node *oldest);

rid_t ledger_last_rid(const struct ledger *l); /* the largest id in the store at open */
/* False for good after a failed write or fsync, and while the disk is full: then holds are
 * refused, settlements are kept and written when there is room again. */
bool ledger_healthy(const struct ledger *l);

/* Any thread.  Monotone counters, but for wal_bytes (when last looked at) and queue (operations
 * in the batch that is being written). */
struct ledger_stats {
    _Atomic uint64_t holds, settles, refused, commits, commit_ns, recovered, wal_bytes, queue;
};
const struct ledger_stats *ledger_stats(const struct ledger *l);

/* Stamps only go forward: when the wall clock steps back they stand nearly still until it has caught
 * up, and what is settled meanwhile may lie in a period that has not begun (reference/billing.md 3.5).
 * By so many microseconds the wall clock is behind the newest stamp; 0: it is not.  Any thread. */
int64_t ledger_clock_behind_us(const struct ledger *l);
#define LEDGER_CLOCK_ALARM_US INT64_C(2000000)  /* is told to the operator */
#define LEDGER_CLOCK_CLOSE_US INT64_C(60000000) /* no period is closed */

/* ---- for use inside a ledger_call ---- */
/* The row id of a model or backend name, made when new. */
MUST_CHECK enum status ledger_name_id(struct db *db, const char *name, int64_t *ret);
/* Publishes a price book if its hash differs from the newest version; the version's id. */
MUST_CHECK enum status ledger_publish_prices(struct db *db, const char *book, const char *currency,
                                             const char *text, const uint8_t sha256[static 32],
                                             int64_t now_us, int64_t *ret_version);
/* The same of a book of costs (billing/schema/0012.sql). */
MUST_CHECK enum status ledger_publish_costs(struct db *db, const char *text,
                                            const uint8_t sha256[static 32], int64_t now_us,
                                            int64_t *ret_version);
/* Projects, organisations, contracts or funds have changed: what is in memory follows the rows. */
MUST_CHECK enum status ledger_reload_projects(struct ledger *l);
#endif
