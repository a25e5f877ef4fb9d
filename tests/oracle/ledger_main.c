/* tests/oracle/ledger_main.c -- the real ledger behind a pipe, in a time that is told to it.
 *
 *     ledger_oracle DIR CURRENCY MINOR_DIGITS TAX_BASIS_POINTS
 *
 * A command a line on stdin, a JSON object: "do" is one of those in the table at the end, "now"
 * moves the clock (microseconds; it stays when there is none).  An answer a line on stdout:
 * {"status":"OK"} and what the command gives.  Money is in atoms.  The commands know nothing of
 * what comes of them: tests/oracle/year.py says the same from the rules alone.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "billing/alert.h"
#include "conf/catalog_alerts.h"
#include "tests/oracle/ledger_oracle.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct oracle oracle = {
    .seller = { .name = "S", .address = "", .tax_id = "", .series = "Y" },
};
static json_t *answer;

static int64_t fake_wall(void *arg)
{
    (void)arg;
    return atomic_load(&oracle.now_us);
}

static int64_t fake_mono(void *arg)
{
    (void)arg;
    return atomic_fetch_add(&oracle.mono_ns, 1000) + 1000;
}

static void fake_random(void *arg, void *bytes, size_t len)
{
    (void)arg;
    memset(bytes, 7, len);
}

static const struct env env = { fake_mono, fake_wall, fake_random, NULL };

/* ---- what a command says ------------------------------------------------------------------- */

const char *text(const json_t *c, const char *name)
{
    const char *value = json_string_value(json_object_get(c, name));
    return value ? value : "";
}

int64_t number(const json_t *c, const char *name, int64_t otherwise)
{
    const json_t *value = json_object_get(c, name);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

void say(const char *name, json_t *value)
{
    int rc = value ? json_object_set_new(answer, name, value) : 0;
    assert(rc == 0);
}

void say_status(enum status s)
{
    say("status", json_string(status_info(s)->name));
}

json_t *say_into(json_t *ret)
{
    json_t *before = answer;
    answer = ret;
    return before;
}

/* ---- waiting for the ledger thread --------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned waited_for;

static void on_done(struct ledger_op *op)
{
    (void)op;
    pthread_mutex_lock(&lock);
    waited_for--;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

void submit(struct ledger_op *op)
{
    op->done = on_done;
    pthread_mutex_lock(&lock);
    waited_for++;
    pthread_mutex_unlock(&lock);
    ledger_submit(oracle.ledger, op);
}

void wait_for_all(void)
{
    pthread_mutex_lock(&lock);
    while (waited_for)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- commands ------------------------------------------------------------------------------ */

/* A year has its alerts, too: invariants.py and the audit hold them against the sums. */
static enum status want_alerts(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static struct catalog_webhook everybody = { .name = "all",
                                                .types = (1u << ALERT_TYPE_COUNT) - 1 };
    static const struct catalog_alerts alerts = { .thresholds = { 50, 80, 100 },
                                                  .threshold_count = 3,
                                                  .attempts = 1,
                                                  .webhooks = &everybody,
                                                  .webhook_count = 1 };
    (void)call, (void)db, (void)now_us;
    ledger_want_alerts(oracle.ledger, &alerts, NULL, NULL);
    return STATUS_OK;
}

static void open_ledger(void)
{
    char err[256];
    const struct ledger_options o = { .dir = oracle.dir, .currency = oracle.currency, .env = &env };
    enum status s = ledger_open(&o, &oracle.ledger, err);
    if (s) {
        fprintf(stderr, "ledger_open: %s\n", err);
        exit(EXIT_FAILURE);
    }
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = want_alerts };
    submit(&call.op);
    wait_for_all();
}

/* What was open is settled with nothing: the one who asked must have forgotten it, too. */
static void do_restart(const json_t *c)
{
    (void)c;
    ledger_close(oracle.ledger);
    requests_forget();
    open_ledger();
    say_status(STATUS_OK);
}

/* What the product itself finds, on a connection of its own. */
static void do_audit(const json_t *c)
{
    (void)c;
    char path[4096], err[256];
    struct db *db = NULL;
    json_t *result = NULL;
    snprintf(path, sizeof path, "%s/ledger.db", oracle.dir);
    enum status s = db_open(path, DB_READER, &db, err);
    s = s ? s : audit_run(db, oracle.now_us, &result);
    db_close(db);
    say("problems", json_incref(json_object_get(result, "problems")));
    say_status(s);
    json_decref(result);
}

static const struct {
    const char *name;
    void (*run)(const json_t *c);
} others[] = { { "many", do_many }, { "restart", do_restart }, { "audit", do_audit } };

static void do_one(const json_t *c)
{
    oracle.now_us = number(c, "now", oracle.now_us);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].name, text(c, "do")) == 0)
            return others[i].run(c);
    if (do_writer(c))
        return;
    fprintf(stderr, "no such command: %s\n", text(c, "do"));
    exit(EXIT_FAILURE);
}

static bool next_command(void)
{
    AUTO(free_ptr) char *line = NULL;
    size_t room = 0;
    if (getline(&line, &room, stdin) <= 0)
        return false;
    AUTO(json_decref_ptr) json_t *c = json_loads(line, 0, NULL);
    assert(c);
    if (!oracle.ledger) {
        oracle.now_us = number(c, "now", 0);
        open_ledger();
    }
    answer = json_object();
    do_one(c);
    int rc = json_dumpf(answer, stdout, JSON_COMPACT);
    assert(rc == 0);
    putchar('\n');
    fflush(stdout);
    json_decref(answer);
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fprintf(stderr, "usage: ledger_oracle DIR CURRENCY DIGITS TAX_BASIS_POINTS\n"), 2;
    oracle.dir = argv[1];
    oracle.currency = argv[2];
    oracle.seller.minor_digits = (int)strtol(argv[3], NULL, 10);
    oracle.seller.tax_basis_points = strtol(argv[4], NULL, 10);
    requests_start();
    while (next_command())
        ;
    if (oracle.ledger)
        ledger_close(oracle.ledger);
    requests_forget();
    return EXIT_SUCCESS;
}
