/* bench/ledger.c -- how many requests a second the ledger can hold and settle, and what one
 * costs: `bench_ledger [SECONDS [DIRECTORY [STORED DAYS]]]` prints one line.
 *
 * Submitters keep a window of requests in flight; each is held, and settled when its hold is on
 * disk, as the gateway does it.  ledger_cpu_us is the CPU time of the ledger thread alone;
 * process_cpu_us has the submitters and the kernel's part too.  Then the store is opened again,
 * queried, invoiced and audited.
 *
 * With STORED and DAYS a history of so many requests in so many days up to now is stored first,
 * by the same code on a clock that runs ahead; what follows shows what depends on it.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "base/digest.h"
#include "billing/ledger.h"
#include "billing/period.h"
#include "billing/organization.h"
#include "billing/document.h"
#include "billing/usage_page.h"
#include <assert.h>
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

enum { WINDOW = 4096, PROJECTS = 4, MODELS = 8, PROGRESS_EVERY = 500000 };
#define SECOND_US INT64_C(1000000)

struct slot { /* one request after the other */
    struct ledger_hold hold;
    struct ledger_settle settle;
    struct bench *bench;
};

struct bench {
    struct ledger *ledger;
    const struct env *env; /* of the ids; the ledger has the same */
    struct rid_source rids;
    _Atomic bool stop;
    atomic_uint running;
    unsigned window;
    uint64_t settled, stop_at; /* stop_at 0: when told */
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
    if (bench.stop_at && bench.settled % PROGRESS_EVERY == 0)
        fprintf(stderr, "bench_ledger: %ju of %ju requests are stored\n", (uintmax_t)bench.settled,
                (uintmax_t)bench.stop_at);
    if (bench.stop || (bench.stop_at && bench.settled + bench.window > bench.stop_at))
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
    rid_t rid = rid_next(&bench.rids, bench.env);
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
        .accepted_us = bench.env->wall_us(bench.env->arg),
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
        const struct organization_new o = { slug, "bench", "", "", "", "", "", 0 };
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
    bench.running = bench.window;
    for (unsigned i = 0; i < bench.window; i++)
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

static enum status add_nothing(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call, (void)db, (void)now_us;
    return STATUS_OK;
}

/* Sets the requests going; they go on until told to stop, or until `stop_at` are settled. */
static void start(const struct env *env, unsigned window, uint64_t stop_at, bool first)
{
    static struct ledger_call call;
    bench.env = env;
    bench.window = window;
    bench.stop_at = stop_at;
    bench.settled = 0;
    bench.stop = bench.clock_known = false;
    rid_source_init(&bench.rids, 0, env, ledger_last_rid(bench.ledger));
    call = (struct ledger_call){ .op = { .kind = LEDGER_CALL, .done = start_all },
                                 .run = first ? add_projects : add_nothing };
    ledger_submit(bench.ledger, &call.op);
}

static void wait_for_the_last(void)
{
    while (!bench.clock_known || bench.running)
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

static void open_ledger(const char *dir, const struct env *env)
{
    char err[256] = "no directory";
    const struct ledger_options options = { .dir = dir, .currency = "USD", .env = env };
    if (!dir || ledger_open(&options, &bench.ledger, err) != STATUS_OK) {
        fprintf(stderr, "bench_ledger: %s\n", err);
        exit(1);
    }
}

/* ---- a history ----------------------------------------------------------------------------- */

static struct history { /* a clock that steps with each look of a request at it */
    _Atomic int64_t now_us;
    int64_t step_us;
} history;

static int64_t history_wall_us(void *arg)
{
    struct history *h = arg;
    return atomic_fetch_add(&h->now_us, h->step_us) + h->step_us;
}

/* A batch is what half an hour brought, so that each hour has its sums. */
static void store_history(const char *dir, uint64_t stored, int64_t days)
{
    struct env env = env_system;
    int64_t step_us = days * DAY_US / (int64_t)stored;
    int64_t window = 1800 * SECOND_US / (step_us ? step_us : 1);
    history.step_us = step_us / 2; /* a request looks twice: for its id and when it was accepted */
    history.now_us = env_system.wall_us(NULL) - days * DAY_US;
    env.wall_us = history_wall_us;
    env.arg = &history;
    open_ledger(dir, &env);
    start(&env, window < 1 ? 1 : window > WINDOW ? WINDOW : (unsigned)window, stored, true);
    wait_for_the_last();
    ledger_close(bench.ledger);
}

/* ---- the measurements ---------------------------------------------------------------------- */

static void run_requests(double length, bool first)
{
    double began = seconds_of(CLOCK_MONOTONIC), began_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    time_t whole = (time_t)length;
    start(&env_system, WINDOW, 0, first);
    nanosleep(&(struct timespec){ whole, (long)((length - (double)whole) * 1e9) }, NULL);
    bench.stop = true;
    wait_for_the_last();
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

static void run_open(const char *dir, const char *name)
{
    double began = seconds_of(CLOCK_MONOTONIC);
    open_ledger(dir, &env_system);
    printf(" %s=%.1f", name, (seconds_of(CLOCK_MONOTONIC) - began) * 1e3);
}

static void run_invoice(struct db *db, const char *month, int64_t now_us)
{
    static const struct seller seller = { "S", "A", "T", "B", 600, 2 };
    AUTO(json_decref_ptr) json_t *invoice = NULL;
    double began = seconds_of(CLOCK_MONOTONIC);
    enum status s = document_of_month(db, "p1", month, &seller, now_us, &invoice);
    assert(s == STATUS_OK);
    printf(" invoice_ms=%.2f", (seconds_of(CLOCK_MONOTONIC) - began) * 1e3);
}

/* What a finance key asks: the costs of each day of a month; then what only settlements know. */
static void run_usage(struct db *db, int64_t from_us, int64_t to_us)
{
    const struct usage_page_query costs = { .project = 1,
                                            .kind = USAGE_COSTS,
                                            .group = GROUP_MODEL | GROUP_METER,
                                            .first_us = from_us,
                                            .to_us = to_us,
                                            .width_us = DAY_US,
                                            .buckets = 31 };
    const struct usage_query served = { .from_us = to_us - DAY_US,
                                        .to_us = to_us,
                                        .group_by = "served" };
    AUTO(buf_free) struct buf page;
    AUTO(json_decref_ptr) json_t *rows = NULL;
    buf_init(&page, USAGE_PAGE_BYTES);
    double began = seconds_of(CLOCK_MONOTONIC);
    enum status s = usage_page(db, &costs, &page);
    assert(s == STATUS_OK);
    printf(" usage_ms=%.2f", (seconds_of(CLOCK_MONOTONIC) - began) * 1e3);
    began = seconds_of(CLOCK_MONOTONIC);
    s = report_usage(db, &served, &rows);
    assert(s == STATUS_OK);
    printf(" served_day_ms=%.2f", (seconds_of(CLOCK_MONOTONIC) - began) * 1e3);
}

static int64_t one_number(struct db *db, const char *sql)
{
    int64_t n = 0;
    enum status s = db_first_int(db, db_prepare(db, sql), &n);
    assert(s == STATUS_OK);
    return n;
}

static void run_audit(struct db *db, int64_t now_us, double requests)
{
    AUTO(json_decref_ptr) json_t *audit = NULL;
    struct rusage usage;
    double began = seconds_of(CLOCK_MONOTONIC);
    enum status s = audit_run(db, now_us, &audit);
    assert(s == STATUS_OK && json_is_true(json_object_get(audit, "ok")));
    double took = seconds_of(CLOCK_MONOTONIC) - began;
    getrusage(RUSAGE_SELF, &usage);
    printf(" audit_s=%.2f audited_per_s=%.0f audit_rss_mb=%.0f\n", took, requests / took,
           (double)usage.ru_maxrss / 1024);
}

/* Of the last month that has ended when there is a history, else of this one. */
static void run_finance(const char *dir, bool history_first)
{
    static const char sql_count[] = "SELECT count(*) FROM request_open";
    char path[512], err[256], month[PERIOD_TEXT_BYTES];
    struct db *db = NULL;
    struct stat file;
    int64_t now_us = env_system.wall_us(NULL), from_us, to_us;
    period_month(now_us, &from_us, &to_us);
    if (history_first)
        period_month(from_us - 1, &from_us, &to_us);
    period_instant_text(from_us, month);
    month[strlen("2026-11")] = '\0';
    snprintf(path, sizeof path, "%s/ledger.db", dir);
    enum status s = db_open(path, DB_READER, &db, err);
    assert(s == STATUS_OK && stat(path, &file) == 0);
    run_invoice(db, month, now_us);
    run_usage(db, from_us, to_us);
    double requests = (double)one_number(db, sql_count);
    printf(" stored=%.0f bytes_per_request=%.0f", requests, (double)file.st_size / requests);
    run_audit(db, now_us, requests);
    db_close(db);
}

int main(int argc, char **argv)
{
    double length = argc > 1 ? strtod(argv[1], NULL) : 5;
    char made[] = "bench-ledger-XXXXXX";
    const char *dir = argc > 2 && *argv[2] ? argv[2] : mkdtemp(made);
    uint64_t stored = argc > 4 ? strtoull(argv[3], NULL, 10) : 0;
    if (stored)
        store_history(dir, stored, strtoll(argv[4], NULL, 10));
    open_ledger(dir, &env_system);
    run_requests(length, !stored);
    ledger_close(bench.ledger);
    run_open(dir, "open_ms");
    ledger_close(bench.ledger);
    run_finance(dir, stored > 0);
    if (argc <= 2 || !*argv[2])
        remove_all(dir);
    return 0;
}
