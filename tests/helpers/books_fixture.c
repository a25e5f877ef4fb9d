/* tests/helpers/books_fixture.c -- see the header. */
#include "tests/helpers/books_fixture.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "billing/organization.h"
#include "billing/report.h"
#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>

#define DAY_US INT64_C(86400000000)
#define UNIT   INT64_C(10000000000)

static int64_t fake_wall(void *arg)
{
    return ((struct fixture *)arg)->wall_us;
}

static int64_t fake_mono(void *arg)
{
    return ((struct fixture *)arg)->mono_ns;
}

static void fake_random(void *arg, void *bytes, size_t len)
{
    (void)arg;
    memset(bytes, 7, len);
}

enum status fixture_try_open(struct fixture *f, char err[static 256])
{
    f->env = (struct env){ fake_mono, fake_wall, fake_random, f };
    const struct ledger_options o = {
        .dir = f->dir, .currency = "USD", .env = &f->env, .idem = f->idem
    };
    return ledger_open(&o, &f->ledger, err);
}

void fixture_open(struct fixture *f)
{
    char err[256] = "";
    enum status s = fixture_try_open(f, err);
    ck_assert_msg(s == STATUS_OK, "ledger_open: %s", err);
    rid_t last = ledger_last_rid(f->ledger);
    f->next_rid = last ? last + 1 : 1000;
}

void fixture_init(struct fixture *f)
{
    *f = (struct fixture){ .wall_us = FIXTURE_NOW_US, .idem = { 35 * DAY_US, DAY_US, 1 << 20 } };
    snprintf(f->dir, sizeof f->dir, "/tmp/maasgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    fixture_open(f);
}

void fixture_close(struct fixture *f)
{
    if (f->ledger)
        ledger_close(f->ledger);
    f->ledger = NULL;
}

void fixture_free(struct fixture *f)
{
    fixture_close(f);
    DIR *d = opendir(f->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(f->dir);
}

/* ---- waiting for an answer ----------------------------------------------------------------- */

static pthread_mutex_t answered_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered_some = PTHREAD_COND_INITIALIZER;
static struct ledger_op *answered; /* each one is waited for by one thread: a list of them */

static void on_done(struct ledger_op *op)
{
    pthread_mutex_lock(&answered_lock);
    op->node.next = (struct mpsc_node *)answered; /* the node is first in an operation */
    answered = op;
    pthread_cond_broadcast(&answered_some);
    pthread_mutex_unlock(&answered_lock);
}

static bool take_answered(const struct ledger_op *op)
{
    for (struct ledger_op **at = &answered; *at; at = (struct ledger_op **)&(*at)->node.next)
        if (*at == op) {
            *at = (struct ledger_op *)op->node.next;
            return true;
        }
    return false;
}

enum status fixture_submit(struct fixture *f, struct ledger_op *op)
{
    op->done = on_done;
    ledger_submit(f->ledger, op);
    pthread_mutex_lock(&answered_lock);
    while (!take_answered(op))
        pthread_cond_wait(&answered_some, &answered_lock);
    pthread_mutex_unlock(&answered_lock);
    return op->status;
}

/* ---- projects and the catalog -------------------------------------------------------------- */

struct project_args {
    struct fixture *f;
    const char *slug, *period;
    int64_t budget, id;
};

static enum status add_project(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static const char sql[] =
        "INSERT INTO project (slug, display_name, budget_atoms, budget_period, created_us,"
        " organization) VALUES (?1, ?1, ?2, ?3, ?4, ?5)";
    struct project_args *a = call->arg;
    char buyer[64];
    snprintf(buyer, sizeof buyer, "Buyer %s", a->slug);
    const struct organization_new o = { a->slug, a->slug, buyer, "", "", "PO-1", "", 0 };
    int64_t organization;
    enum status created = organization_create(db, &o, now_us, &organization);
    if (created)
        return created;
    struct db_stmt *s = db_prepare(db, sql);
    db_int(s, 5, organization);
    db_text(s, 1, a->slug, -1);
    db_int(s, 2, a->budget);
    db_text(s, 3, a->period, -1);
    db_int(s, 4, now_us);
    enum status status = db_run(s);
    a->id = db_last_id(db);
    return status ? status : ledger_reload_projects(a->f->ledger);
}

int64_t fixture_project(struct fixture *f, const char *slug, int64_t budget_atoms,
                        const char *period)
{
    struct project_args a = { f, slug, period, budget_atoms, 0 };
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = add_project, .arg = &a };
    ck_assert_int_eq(fixture_submit(f, &call.op), STATUS_OK);
    return a.id;
}

static const char price_text[] = "currency USD book list\n"
                                 "base/chat input_uncached_tokens 25000000000/1000000\n"
                                 "base/chat output_text_tokens 100000000000/1000000\n"
                                 "domain/vision images 1200000000/1\n";

static enum status add_catalog(struct ledger_call *call, struct db *db, int64_t now_us)
{
    (void)call;
    static const char *const names[] = { "base/chat", "domain/vision", "box" };
    for (int64_t i = 0; i < 3; i++) {
        int64_t id;
        enum status s = ledger_name_id(db, names[i], &id);
        if (s)
            return s;
        ck_assert_int_eq(id, i + 1);
    }
    uint8_t sha256[32];
    int64_t version;
    digest_sha256(price_text, strlen(price_text), sha256);
    return ledger_publish_prices(db, "list", "USD", price_text, sha256, now_us, &version);
}

void fixture_catalog(struct fixture *f)
{
    struct ledger_call call = { .op.kind = LEDGER_CALL, .run = add_catalog };
    ck_assert_int_eq(fixture_submit(f, &call.op), STATUS_OK);
}

/* ---- requests ------------------------------------------------------------------------------ */

struct ledger_hold fixture_hold_of(struct fixture *f, int64_t project, int64_t atoms)
{
    return (struct ledger_hold){
        .op.kind = LEDGER_HOLD,
        .rid = f->next_rid++,
        .project = project,
        .key = 1,
        .model = 1,
        .endpoint = ENDPOINT_CHAT,
        .price_version = 1,
        .estimate_in = 100,
        .max_out = 100,
        .n = 1,
        .hold = { atoms },
        .accepted_us = f->wall_us,
    };
}

enum status fixture_hold(struct fixture *f, struct ledger_hold *h)
{
    return fixture_submit(f, &h->op);
}

struct ledger_settle fixture_settle_of(const struct ledger_hold *h, uint64_t in, uint64_t out)
{
    struct ledger_settle s = {
        .op.kind = LEDGER_SETTLE,
        .rid = h->rid,
        .project = h->project,
        .key = h->key,
        .model = h->model,
        .model_served = h->model,
        .backend = 3,
        .endpoint = h->endpoint,
        .price_version = h->price_version,
        .hold = h->hold,
        .outcome = OUTCOME_OK,
        .evidence = EVIDENCE_UPSTREAM,
        .first_byte_us = 1000,
        .duration_us = 2000,
        .http_status = 200,
    };
    if (in)
        s.lines[s.line_count++] = (struct bill_line){ .meter = METER_INPUT_UNCACHED,
                                                      .qty = in,
                                                      .amount = { (int64_t)in * 25000 } };
    if (out)
        s.lines[s.line_count++] = (struct bill_line){ .meter = METER_OUTPUT_TEXT,
                                                      .qty = out,
                                                      .amount = { (int64_t)out * 100000 } };
    s.amount.atoms = (int64_t)in * 25000 + (int64_t)out * 100000;
    return s;
}

enum status fixture_settle(struct fixture *f, struct ledger_settle *s)
{
    return fixture_submit(f, &s->op);
}

rid_t fixture_request(struct fixture *f, int64_t project, uint64_t in, uint64_t out)
{
    struct ledger_hold h = fixture_hold_of(f, project, (int64_t)in * 25000 + (int64_t)out * 100000);
    ck_assert_int_eq(fixture_hold(f, &h), STATUS_OK);
    struct ledger_settle s = fixture_settle_of(&h, in, out);
    ck_assert_int_eq(fixture_settle(f, &s), STATUS_OK);
    return h.rid;
}

/* ---- looking at the store ------------------------------------------------------------------ */

struct db *fixture_reader(struct fixture *f)
{
    char path[128], err[256] = "";
    struct db *db = NULL;
    snprintf(path, sizeof path, "%s/ledger.db", f->dir);
    enum status s = db_open(path, DB_READER, &db, err);
    ck_assert_msg(s == STATUS_OK, "db_open: %s", err);
    return db;
}

char *fixture_page(struct fixture *f, const struct usage_page_query *q, enum status expected)
{
    struct db *db = fixture_reader(f);
    struct buf out;
    buf_init(&out, USAGE_PAGE_BYTES);
    ck_assert_int_eq(usage_page(db, q, &out), expected);
    db_close(db);
    char *text = buf_take(&out, NULL);
    buf_free(&out);
    return text;
}

int64_t fixture_int(struct fixture *f, const char *sql)
{
    struct db *db = fixture_reader(f);
    struct db_stmt *s = db_prepare(db, sql);
    ck_assert_msg(s && db_step(s) == DB_ROW, "%s: %s", sql, db_error(db));
    int64_t value = db_col_int(s, 0);
    db_close(db);
    return value;
}

void fixture_tamper(struct fixture *f, const char *sql)
{
    ck_assert_ptr_null(f->ledger);
    char path[128];
    sqlite3 *db = NULL;
    char *problem = NULL;
    snprintf(path, sizeof path, "%s/ledger.db", f->dir);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    int rc = sqlite3_exec(db, sql, NULL, NULL, &problem);
    ck_assert_msg(rc == SQLITE_OK, "%s: %s", sql, problem);
    sqlite3_close(db);
}

static json_t *audit(struct fixture *f)
{
    struct db *db = fixture_reader(f);
    json_t *result = NULL;
    ck_assert_int_eq(audit_run(db, f->wall_us, &result), STATUS_OK);
    db_close(db);
    return result;
}

void fixture_audit_clean(struct fixture *f)
{
    json_t *result = audit(f);
    AUTO(free_ptr) char *text = json_dumps(json_object_get(result, "problems"), JSON_INDENT(1));
    ck_assert_msg(json_is_true(json_object_get(result, "ok")), "audit: %s", text);
    json_decref(result);
}

long fixture_audit_problems(struct fixture *f)
{
    json_t *result = audit(f);
    long count = (long)json_array_size(json_object_get(result, "problems"));
    ck_assert_int_eq(json_is_true(json_object_get(result, "ok")), count == 0);
    json_decref(result);
    return count;
}

/* ---- documents ----------------------------------------------------------------------------- */

struct issue_call {
    struct ledger_call call;
    char *number;
};

static enum status issue(struct ledger_call *call, struct db *db, int64_t now_us)
{
    static const struct seller seller = { "Seller", "", "", "MG", 1900, 2 };
    AUTO(json_decref_ptr) json_t *document = NULL;
    enum status s = document_issue(db, "acme", "2026-11", &seller, now_us, &document);
    if (!s)
        snprintf(((struct issue_call *)call)->number, DOCUMENT_NUMBER_BYTES, "%s",
                 json_string_value(json_object_get(document, "number")));
    return s;
}

void fixture_invoice(struct fixture *f, char ret_number[static DOCUMENT_NUMBER_BYTES])
{
    struct issue_call c = { { .op.kind = LEDGER_CALL, .run = issue }, ret_number };
    ck_assert_int_eq(fixture_submit(f, &c.call.op), STATUS_OK);
}

/* ---- the whole of a test ------------------------------------------------------------------- */

int64_t fixture_rich(struct fixture *f)
{
    fixture_init(f);
    fixture_catalog(f);
    return fixture_project(f, "rich", 1000 * MONEY_ATOMS_PER_UNIT, "month");
}

void fixture_end(struct fixture *f)
{
    if (f->ledger)
        fixture_close(f);
    fixture_audit_clean(f);
    fixture_free(f);
}
