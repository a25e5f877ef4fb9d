/* tests/oracle/ledger_requests.c -- price books, and requests rated by them as the gateway does. */
#include "base/arena.h"
#include "base/digest.h"
#include "base/db.h"
#include "billing/organization.h"
#include "billing/price.h"
#include "billing/publication.h"
#include "billing/pricebook.h"
#include "tests/oracle/ledger_oracle.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOOKS_MAX = 512, MODELS_MAX = 64, ARENA_BYTES = 64 << 20, OPEN_MAX = 1 << 18 };

/* ---- price books --------------------------------------------------------------------------- */

static struct model {
    const char *name, *payer; /* payer: whose own book is in it; "" the list */
    int64_t id, version;
    struct price_list prices;
    struct price plain[METER_COUNT];
} models[BOOKS_MAX * MODELS_MAX];
static unsigned model_count, models_now; /* those of now begin there */
static struct arena *arena;

static bool is_plain(const struct price_sheet *s)
{
    for (unsigned m = 0; m < METER_COUNT; m++)
        if (s->first[m + 1] - s->first[m] > 1 ||
            (s->first[m + 1] > s->first[m] && !price_item_plain(&s->items[s->first[m]])))
            return false;
    return true;
}

/* As the catalog does: what has one plain price a meter has no sheet. */
static enum status add_model(struct db *db, const char *payer, const struct publication_term *t,
                             const char *name)
{
    struct model *m = &models[model_count++];
    const char *book = arena_strdup(arena, t->text);
    assert(model_count <= BOOKS_MAX * MODELS_MAX);
    *m = (struct model){ .name = arena_strdup(arena, name), .payer = payer, .version = t->version };
    const struct price_sheet *s;
    enum status status = pricebook_sheet(book, name, arena, &s);
    if (!status)
        status = ledger_name_id(db, name, &m->id);
    if (status)
        return status;
    for (unsigned k = 0; k < METER_COUNT; k++)
        if (s->first[k] < s->first[k + 1]) {
            m->prices.priced |= UINT32_C(1) << k;
            m->plain[k] = s->items[s->first[k]].price;
        }
    m->prices.price = m->plain;
    m->prices.sheet = is_plain(s) ? NULL : s;
    return STATUS_OK;
}

static enum status add_models(struct db *db, const json_t *c, const char *payer,
                              const struct publication_term *t)
{
    size_t i;
    json_t *name;
    enum status s = STATUS_OK;
    json_array_foreach (json_object_get(c, "models"), i, name)
        s = s ? s : add_model(db, payer, t, json_string_value(name));
    return s;
}

/* Of the term in force at `us`; NULL: none, or one that leaves the list. */
static const struct publication_term *term_at(const struct term_list *l, int64_t us)
{
    const struct publication_term *found = NULL;
    for (size_t i = 0; i < l->count && (l->term[i].from_us <= us); i++)
        found = &l->term[i];
    return found && found->text ? found : NULL;
}

/* What the customers of an organization pay has a '~' behind its slug. */
static const char *slug_of(struct db *db, const struct book_owner *owner)
{
    struct db_stmt *s = db_prepare(db, "SELECT slug FROM organization WHERE id = ?1");
    assert(s);
    db_int(s, 1, owner->organization);
    enum db_row row = db_step(s);
    assert(row == DB_ROW);
    char name[80];
    snprintf(name, sizeof name, "%s%s", db_col_text(s, 0, NULL),
             owner->kind == BOOK_RESALE ? "~" : "");
    const char *slug = arena_strdup(arena, name);
    db_reset(s);
    return slug;
}

/* As the gateway takes them: the list, and for each that has one its own book on it. */
static enum status take_books(struct db *db, const json_t *c, int64_t us)
{
    struct publication_terms t;
    char err[256] = "";
    enum status s = publication_terms(db, us, &t, err);
    const struct publication_term *list = s ? NULL : term_at(&t.list, us);
    json_t *versions = json_object();
    if (s)
        return s;
    models_now = model_count;
    s = add_models(db, c, "", list);
    json_object_set_new(versions, "", json_integer(list->version));
    for (size_t i = 0; i < t.own_count && !s; i++) {
        const struct publication_term *own = term_at(&t.own[i].terms, us);
        const char *payer = slug_of(db, &t.own[i].owner);
        if (!own)
            continue;
        s = add_models(db, c, payer, own);
        json_object_set_new(versions, payer, json_integer(own->version));
    }
    publication_terms_free(&t);
    say("versions", versions);
    return s;
}

/* The first book is a configuration's; two people publish the others, an instant ahead. */
enum status run_publish(struct db *db, const json_t *c)
{
    const char *book = text(c, "text"), *name = *text(c, "book") ? text(c, "book") : "list";
    uint8_t sha256[32];
    int64_t now = oracle.now_us, id = 0;
    char err[256] = "";
    json_t *done = NULL;
    struct proposal_new p = { .book = name, .currency = oracle.currency, .text = book };
    p.sha256 = sha256;
    p.effective_us = now + 1;
    p.notice_us = 1;
    p.by = "uid:1";
    digest_sha256(book, strlen(book), sha256);
    enum status s = STATUS_OK;
    if (*text(c, "for")) {
        p.owner.kind = json_is_true(json_object_get(c, "resale")) ? BOOK_RESALE : BOOK_CONTRACT;
        s = organization_find(db, text(c, "for"), &p.owner.organization);
    } else if (!model_count) {
        s = ledger_publish_prices(db, name, oracle.currency, book, sha256, now, &id);
        s = s ? s : publication_configured(db, id);
        return s ? s : take_books(db, c, now);
    }
    s = s ? s : publication_propose(db, &p, now, &id, err);
    s = s ? s : publication_approve(db, id, "uid:2", 1, now, &done, err);
    json_decref(done);
    return s ? s : take_books(db, c, now + 1);
}

/* NULL: nobody of that name has a book. */
static const struct model *find_model(const json_t *c, const char *payer)
{
    for (unsigned i = models_now; i < model_count; i++)
        if (strcmp(models[i].name, text(c, "model")) == 0 && strcmp(models[i].payer, payer) == 0)
            return &models[i];
    return NULL;
}

/* By the book of who pays. */
static const struct model *model_of(const json_t *c)
{
    const struct model *m = find_model(c, text(c, "payer"));
    m = m ? m : find_model(c, "");
    assert(m);
    return m;
}

/* By that of a reseller for its customers, else as the reseller pays itself. */
static const struct model *retail_of(const json_t *c)
{
    char payer[80];
    snprintf(payer, sizeof payer, "%s~", text(c, "payer"));
    const struct model *m = find_model(c, payer);
    return m ? m : model_of(c);
}

/* ---- requests ------------------------------------------------------------------------------ */

static struct open_request { /* by rid */
    union {
        struct ledger_op op;
        struct ledger_hold hold;
        struct ledger_settle settle;
    } op;
    struct price_list prices;
    struct price_facts facts;
    struct price_bound bound;
    struct ledger_hold held;
    struct resale_hold resale; /* of the customer of a reseller: its leg */
    struct price_list retail_prices;
    struct ledger_settle retail;
    struct price_facts retail_facts;
    char retail_text[FACTS_TEXT_BYTES];
    char words[PRICE_DIMS][PRICE_WORD_BYTES_MAX + 1], facts_text[FACTS_TEXT_BYTES];
} * open_requests[OPEN_MAX];

static void read_facts(struct open_request *r, const json_t *c)
{
    r->facts.accepted_us = number(c, "accepted", oracle.now_us);
    for (unsigned d = 0; d < PRICE_DIMS; d++) {
        const char *word = text(c, price_dim_name((enum price_dim)d));
        snprintf(r->words[d], sizeof r->words[d], "%s", word);
        r->facts.dim[d] = (struct span){ r->words[d], strlen(r->words[d]) };
    }
    r->prices.facts = &r->facts;
}

static struct price_bound read_bound(const json_t *c)
{
    return (struct price_bound){
        .input_tokens_max = (uint64_t)number(c, "input", 0),
        .output_tokens_max = (uint64_t)number(c, "output", 0),
        .images_max = (uint64_t)number(c, "images", 0),
        .tensor_elements_max = (uint64_t)number(c, "tensor_elements", 0),
        .compute_ms_max = (uint64_t)number(c, "compute_ms", 0),
        .characters_max = (uint64_t)number(c, "characters", 0),
        .audio_ms_max = (uint64_t)number(c, "audio_ms", 0),
        .video_ms_max = (uint64_t)number(c, "video_ms", 0),
    };
}

static struct open_request **slot_of(const json_t *c)
{
    int64_t rid = number(c, "rid", 0);
    assert(rid > 0 && rid < OPEN_MAX);
    return &open_requests[rid];
}

/* As a gateway makes them: they begin with their time (base/rid.h), and here end in a number. */
static rid_t rid_of(const json_t *c)
{
    static const int64_t epoch_us = INT64_C(1704067200000000); /* 2024-01-01T00:00:00Z */
    return ((oracle.now_us - epoch_us) / 1000 << 22) + number(c, "rid", 0);
}

static money_t most_of(const struct price_list *prices, const struct price_bound *bound)
{
    money_t most = { 0 };
    enum status s = price_upper_bound(prices, bound, &most);
    assert(s == STATUS_OK);
    return most;
}

static void hold_retail(struct open_request *r, const json_t *c)
{
    const struct model *m = retail_of(c);
    r->retail_prices = m->prices;
    r->retail_prices.facts = &r->facts;
    r->resale = (struct resale_hold){ number(c, "customer", 0), m->version,
                                      most_of(&r->retail_prices, &r->bound) };
    r->op.hold.resale = &r->resale;
}

static void start_hold(const json_t *c)
{
    struct open_request *r = *slot_of(c) = calloc(1, sizeof *r);
    const struct model *m = model_of(c);
    assert(r);
    r->prices = m->prices;
    read_facts(r, c);
    r->bound = read_bound(json_object_get(c, "most"));
    r->op.hold = (struct ledger_hold){ .op.kind = LEDGER_HOLD,
                                       .rid = rid_of(c),
                                       .project = number(c, "project", 0),
                                       .key = number(c, "key", 1),
                                       .model = m->id,
                                       .price_version = m->version,
                                       .n = 1,
                                       .accepted_us = r->facts.accepted_us,
                                       .hold = most_of(&r->prices, &r->bound) };
    if (number(c, "customer", 0))
        hold_retail(r, c);
    r->held = r->op.hold;
    submit(&r->op.op);
}

static void end_hold(const json_t *c)
{
    struct open_request **r = slot_of(c);
    say_status((*r)->op.op.status);
    say("hold", json_integer((*r)->held.hold.atoms));
    say("retail_hold", json_integer((*r)->resale.hold.atoms));
    if ((*r)->op.op.status == STATUS_OK)
        return;
    free(*r);
    *r = NULL;
}

static void read_usage(const json_t *usage, struct usage *u)
{
    const char *name;
    json_t *qty;
    json_object_foreach ((json_t *)(uintptr_t)usage, name, qty) {
        enum meter m = meter_find(name);
        assert(m != METER_COUNT);
        usage_set(u, m, (uint64_t)json_integer_value(qty));
    }
}

/* What stage_meter fills in; a request that failed has no usage. */
static void rate(const struct open_request *r, const struct price_list *prices, const json_t *c,
                 struct ledger_settle *t, struct price_facts *facts,
                 char facts_text[static FACTS_TEXT_BYTES])
{
    struct usage u = { .present = 0 };
    struct price_bill bill;
    read_usage(json_object_get(c, "usage"), &u);
    enum status s = price_rate(prices, &u, &r->bound, &bill);
    assert(s == STATUS_OK && !bill.clamped);
    memcpy(t->lines, bill.lines, bill.count * sizeof *bill.lines);
    t->line_count = bill.count;
    t->amount = bill.amount;
    const struct price_sheet *sheet = prices->sheet;
    if (!sheet)
        return;
    *facts = r->facts;
    facts->context = bill.context;
    t->facts = price_facts_text(facts, sheet->dims, facts_text);
    t->sheet = sheet->periodic ? sheet : NULL;
    t->chosen_by = sheet->periodic ? facts : NULL;
}

static void add_retail(struct open_request *r, const json_t *c, struct ledger_settle *t)
{
    r->retail = *t;
    r->retail.project = r->resale.project;
    r->retail.hold = r->resale.hold;
    r->retail.price_version = r->resale.price_version;
    r->retail.is_resale = true;
    rate(r, &r->retail_prices, c, &r->retail, &r->retail_facts, r->retail_text);
    t->resale = &r->retail;
}

static void start_settle(const json_t *c)
{
    struct open_request *r = *slot_of(c);
    assert(r);
    const struct ledger_hold *h = &r->held;
    struct ledger_settle *t = &r->op.settle;
    *t = (struct ledger_settle){
        .op.kind = LEDGER_SETTLE,
        .rid = h->rid,
        .project = h->project,
        .key = h->key,
        .model = h->model,
        .model_served = h->model,
        .backend = 1,
        .price_version = h->price_version,
        .hold = h->hold,
        .outcome = json_is_object(json_object_get(c, "usage")) ? OUTCOME_OK : OUTCOME_FAILED_PRE,
        .evidence = EVIDENCE_UPSTREAM,
        .first_byte_us = 1000,
        .duration_us = 2000,
        .http_status = 200,
    };
    if (r->resale.project)
        add_retail(r, c, t);
    rate(r, &r->prices, c, t, &r->facts, r->facts_text);
    submit(&t->op);
}

static json_t *draws_of(const struct ledger_settle *t)
{
    json_t *draws = json_array();
    for (unsigned i = 0; i < t->paid.count; i++)
        json_array_append_new(draws, json_pack("[I, I]", (json_int_t)t->paid.draw[i].fund,
                                               (json_int_t)t->paid.draw[i].atoms));
    return draws;
}

static void end_settle(const json_t *c)
{
    struct open_request **r = slot_of(c);
    const struct ledger_settle *t = &(*r)->op.settle;
    say_status(t->op.status);
    say("amount", json_integer(t->amount.atoms));
    say("draws", draws_of(t));
    if (t->resale)
        say("retail", json_pack("{s:I, s:o}", "amount", (json_int_t)t->resale->amount.atoms,
                                "draws", draws_of(t->resale)));
    free(*r);
    *r = NULL;
}

void do_many(const json_t *c)
{
    size_t i;
    json_t *one, *answers = json_array();
    json_array_foreach (json_object_get(c, "of"), i, one)
        (strcmp(text(one, "do"), "hold") == 0 ? start_hold : start_settle)(one);
    wait_for_all();
    json_array_foreach (json_object_get(c, "of"), i, one) {
        json_t *whole = say_into(json_object());
        (strcmp(text(one, "do"), "hold") == 0 ? end_hold : end_settle)(one);
        json_array_append_new(answers, say_into(whole));
    }
    say("of", answers);
    say_status(STATUS_OK);
}

void requests_forget(void)
{
    for (size_t i = 0; i < OPEN_MAX; i++) {
        free(open_requests[i]);
        open_requests[i] = NULL;
    }
}

void requests_start(void)
{
    arena = arena_new(ARENA_BYTES);
    assert(arena);
}
