/* tests/oracle/ledger_requests.c -- price books, and requests rated by them as the gateway does. */
#include "base/arena.h"
#include "base/digest.h"
#include "billing/price.h"
#include "billing/pricebook.h"
#include "tests/oracle/ledger_oracle.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BOOKS_MAX = 32, MODELS_MAX = 64, ARENA_BYTES = 16 << 20, OPEN_MAX = 1 << 18 };

/* ---- price books --------------------------------------------------------------------------- */

static struct model {
    const char *name;
    int64_t id;
    struct price_list prices; /* by the newest book */
    struct price plain[METER_COUNT];
} models[BOOKS_MAX * MODELS_MAX];
static unsigned model_count;
static int64_t version;
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
static enum status add_model(struct db *db, const char *book, const char *name)
{
    struct model *m = &models[model_count++];
    assert(model_count <= BOOKS_MAX * MODELS_MAX);
    *m = (struct model){ .name = arena_strdup(arena, name) };
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

enum status run_publish(struct db *db, const json_t *c)
{
    const char *book = arena_strdup(arena, text(c, "text"));
    uint8_t sha256[32];
    size_t i;
    json_t *name;
    digest_sha256(book, strlen(book), sha256);
    enum status s =
        ledger_publish_prices(db, "list", oracle.currency, book, sha256, oracle.now_us, &version);
    json_array_foreach (json_object_get(c, "models"), i, name)
        s = s ? s : add_model(db, book, json_string_value(name));
    say("version", json_integer(version));
    return s;
}

/* Of the newest book. */
static const struct model *model_of(const json_t *c)
{
    for (unsigned i = model_count; i-- > 0;)
        if (strcmp(models[i].name, text(c, "model")) == 0)
            return &models[i];
    abort();
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

static void start_hold(const json_t *c)
{
    struct open_request *r = *slot_of(c) = calloc(1, sizeof *r);
    const struct model *m = model_of(c);
    assert(r);
    r->prices = m->prices;
    read_facts(r, c);
    r->bound = read_bound(json_object_get(c, "most"));
    money_t most = { 0 };
    enum status s = price_upper_bound(&r->prices, &r->bound, &most);
    assert(s == STATUS_OK);
    r->op.hold = (struct ledger_hold){ .op.kind = LEDGER_HOLD,
                                       .rid = rid_of(c),
                                       .project = number(c, "project", 0),
                                       .key = number(c, "key", 1),
                                       .model = m->id,
                                       .price_version = version,
                                       .n = 1,
                                       .accepted_us = r->facts.accepted_us,
                                       .hold = most };
    r->held = r->op.hold;
    submit(&r->op.op);
}

static void end_hold(const json_t *c)
{
    struct open_request **r = slot_of(c);
    say_status((*r)->op.op.status);
    say("hold", json_integer((*r)->held.hold.atoms));
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
static void rate(struct open_request *r, const json_t *c, struct ledger_settle *t)
{
    struct usage u = { .present = 0 };
    struct price_bill bill;
    read_usage(json_object_get(c, "usage"), &u);
    enum status s = price_rate(&r->prices, &u, &r->bound, &bill);
    assert(s == STATUS_OK && !bill.clamped);
    memcpy(t->lines, bill.lines, bill.count * sizeof *bill.lines);
    t->line_count = bill.count;
    t->amount = bill.amount;
    const struct price_sheet *sheet = r->prices.sheet;
    if (!sheet)
        return;
    r->facts.context = bill.context;
    t->facts = price_facts_text(&r->facts, sheet->dims, r->facts_text);
    t->sheet = sheet->periodic ? sheet : NULL;
    t->chosen_by = sheet->periodic ? &r->facts : NULL;
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
    rate(r, c, t);
    submit(&t->op);
}

static void end_settle(const json_t *c)
{
    struct open_request **r = slot_of(c);
    const struct ledger_settle *t = &(*r)->op.settle;
    json_t *draws = json_array();
    for (unsigned i = 0; i < t->paid.count; i++)
        json_array_append_new(draws, json_pack("[I, I]", (json_int_t)t->paid.draw[i].fund,
                                               (json_int_t)t->paid.draw[i].atoms));
    say_status(t->op.status);
    say("amount", json_integer(t->amount.atoms));
    say("draws", draws);
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
