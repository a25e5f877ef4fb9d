/* bench/ledger.c -- how many requests a second the ledger can hold and settle,
 * and what one costs: `bench_ledger [seconds] [directory]` prints one line.
 *
 * Submitters keep a window of requests in flight; each is held, and settled when its
 * hold is on disk, as the gateway does it.  ledger_cpu_us is the CPU time of the
 * ledger thread alone; process_cpu_us has the submitters and the kernel's part too.  Then
 * the store is opened again, invoiced and audited.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "base/digest.h"
#include "billing/ledger.h"
#include "billing/period.h"
#include "billing/organization.h"
#include "billing/document.h"
#include <assert.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum { WINDOW = 4096, PROJECTS = 4, MODELS = 8 };

struct slot { /* one request after the other */
    struct ledger_hold hold;
    struct ledger_settle settle;
    struct bench *bench;
};

struct bench {
    struct ledger *ledger;
    struct rid_source rids;
    _Atomic bool stop;
    atomic_uint running;
    uint64_t settled;
    clockid_t ledger_clock;
    _Atomic bool clock_known;
};

static struct bench bench;
static struct slot slots[WINDOW];

static void submit_hold(struct slot *s);

static void settled(struct ledger_op *op)
{
    struct slot *s = (struct slot *)((char *)op - offsetof(struct slot, settle));
    assert(op->status == STATUS_OK);
    bench.settled++;
    if (bench.stop)
        bench.running--;
    else
        submit_hold(s);
}

static void held(struct ledger_op *op)
{
    struct slot *s = (struct slot *)op;
    assert(op->status == STATUS_OK);
    if (!bench.clock_known) {
        pthread_getcpuclockid(pthread_self(), &bench.ledger_clock);
        bench.clock_known = true;
    }
    s->settle = (struct ledger_settle){
        .op = { .kind = LEDGER_SETTLE, .done = settled },
        .rid = s->hold.rid,
        .project = s->hold.project,
        .key = s->hold.key,
        .model = s->hold.model,
        .model_served = s->hold.model,
        .backend = MODELS + 1,
        .endpoint = ENDPOINT_CHAT,
        .price_version = 1,
        .hold = s->hold.hold,
        .outcome = OUTCOME_OK,
        .evidence = EVIDENCE_UPSTREAM,
        .lines = { { METER_INPUT_UNCACHED, 0, 1234, { 30850000 }, 0 },
                   { METER_OUTPUT_TEXT, 0, 567, { 56700000 }, 0 } },
        .line_count = 2,
        .amount = { 87550000 },
        .first_byte_us = 12345,
        .duration_us = 234567,
        .http_status = 200,
    };
    ledger_submit(bench.ledger, &s->settle.op);
}

static void submit_hold(struct slot *s)
{
    rid_t rid = rid_next(&bench.rids, &env_system);
    s->hold = (struct ledger_hold){
        .op = { .kind = LEDGER_HOLD, .done = held },
        .rid = rid,
        .project = 1 + rid % PROJECTS,
        .key = 1 + rid % PROJECTS,
        .model = 1 + rid % MODELS,
        .endpoint = ENDPOINT_CHAT,
        .price_version = 1,
        .estimate_in = 4000,
        .max_out = 1000,
        .n = 1,
        .hold = { 300000000 },
        .accepted_us = env_system.wall_us(NULL),
    };
    ledger_submit(bench.ledger, &s->hold.op);
}

static const char price_text[] = "model-%d input_uncached_tokens 25000000000/1000000\n"
                                 "model-%d output_text_tokens 100000000000/1000000\n";

/* Models 1..MODELS, the backend after them, price version 1. */
static enum status add_catalog(struct db *db, int64_t now_us)
{
    char text[MODELS * sizeof price_text], name[32];
    uint8_t sha256[32];
    size_t len = 0;
    int64_t id;
    for (int i = 1; i <= MODELS + 1; i++) {
        snprintf(name, sizeof name, "model-%d", i);
        enum status s = ledger_name_id(db, name, &id);
        if (s)
            return s;
        if (i <= MODELS)
            len += (size_t)snprintf(text + len, sizeof text - len, price_text, i, i);
    }
    digest_sha256(text, len, sha256);
    return ledger_publish_prices(db, "bench", "USD", text, sha256, now_us, &id);
}

static enum status add_projects(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static const char sql[] =
        "INSERT INTO project (slug, display_name, budget_atoms, budget_period, created_us,"
        " organization) VALUES ('p' || ?1, 'bench', ?2, 'month', 0, ?3)";
    (void)call;
    for (int i = 1; i <= PROJECTS; i++) {
        char slug[16];
        int64_t organization;
        snprintf(slug, sizeof slug, "p%d", i);
        const struct organization_new o = { slug, "bench", "", "", "", "", "" };
        enum status made = organization_create(db, &o, now_us, &organization);
        if (made)
            return made;
        struct db_stmt *s = db_prepare(db, sql);
        db_int(s, 1, i);
        db_int(s, 2, MONEY_ATOMS_MAX);
        db_int(s, 3, organization);
        enum status status = db_run(s);
        if (status)
            return status;
    }
    enum status status = add_catalog(db, now_us);
    return status ? status : ledger_reload_projects(bench.ledger);
}

static void start_all(struct ledger_op *op)
{
    assert(op->status == STATUS_OK);
    bench.running = WINDOW;
    for (unsigned i = 0; i < WINDOW; i++)
        submit_hold(&slots[i]);
}

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void remove_all(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "ledger.", 7) == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(dir);
}

/* ---- the three measurements ---------------------------------------------------------------- */

static void run_requests(double length)
{
    static struct ledger_call call = { .op = { .kind = LEDGER_CALL, .done = start_all },
                                       .run = add_projects };
    double began = seconds_of(CLOCK_MONOTONIC), began_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    time_t whole = (time_t)length;
    ledger_submit(bench.ledger, &call.op);
    nanosleep(&(struct timespec){ whole, (long)((length - (double)whole) * 1e9) }, NULL);
    bench.stop = true;
    while (!bench.clock_known || bench.running)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    double took = seconds_of(CLOCK_MONOTONIC) - began;
    double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - began_cpu;
    double ledger_cpu = seconds_of(bench.ledger_clock);
    const struct ledger_stats *stats = ledger_stats(bench.ledger);
    double n = (double)bench.settled, commits = (double)stats->commits;
    printf("ledger settled=%.0f seconds=%.2f settled_per_s=%.0f ledger_cpu_us=%.2f"
           " process_cpu_us=%.2f settled_per_cpu_s=%.0f requests_per_commit=%.1f commit_ms=%.3f",
           n, took, n / took, ledger_cpu / n * 1e6, cpu / n * 1e6, n / ledger_cpu, n / commits,
           (double)stats->commit_ns / commits / 1e6);
}

static void run_reopen(const struct ledger_options *options)
{
    char err[256];
    double began = seconds_of(CLOCK_MONOTONIC);
    enum status s = ledger_open(options, &bench.ledger, err);
    assert(s == STATUS_OK);
    printf(" open_ms=%.1f", (seconds_of(CLOCK_MONOTONIC) - began) * 1e3);
    ledger_close(bench.ledger);
}

static void run_finance(const char *dir)
{
    static const struct seller seller = { "S", "A", "T", "B", 600, 2 };
    char path[512], err[256], month[PERIOD_TEXT_BYTES];
    struct db *db = NULL;
    int64_t now_us = env_system.wall_us(NULL);
    period_instant_text(now_us, month);
    month[strlen("2026-11")] = '\0';
    snprintf(path, sizeof path, "%s/ledger.db", dir);
    enum status s = db_open(path, DB_READER, &db, err);
    assert(s == STATUS_OK);
    AUTO(json_decref_ptr) json_t *invoice = NULL;
    AUTO(json_decref_ptr) json_t *audit = NULL;
    double began = seconds_of(CLOCK_MONOTONIC);
    s = document_of_month(db, "p1", month, &seller, now_us, &invoice);
    assert(s == STATUS_OK);
    double invoiced = seconds_of(CLOCK_MONOTONIC);
    s = audit_run(db, now_us, &audit);
    assert(s == STATUS_OK && json_is_true(json_object_get(audit, "ok")));
    double audited = seconds_of(CLOCK_MONOTONIC);
    printf(" invoice_ms=%.2f audited_per_s=%.0f\n", (invoiced - began) * 1e3,
           (double)bench.settled / (audited - invoiced));
    db_close(db);
}

int main(int argc, char **argv)
{
    double length = argc > 1 ? strtod(argv[1], NULL) : 5;
    char made[] = "bench-ledger-XXXXXX";
    const char *dir = argc > 2 ? argv[2] : mkdtemp(made);
    char err[256] = "no directory";
    const struct ledger_options options = { .dir = dir, .currency = "USD", .env = &env_system };
    if (!dir || ledger_open(&options, &bench.ledger, err) != STATUS_OK) {
        fprintf(stderr, "bench_ledger: %s\n", err);
        return 1;
    }
    rid_source_init(&bench.rids, 0, &env_system, ledger_last_rid(bench.ledger));
    run_requests(length);
    ledger_close(bench.ledger);
    run_reopen(&options);
    run_finance(dir);
    if (argc <= 2)
        remove_all(dir);
    return 0;
}
