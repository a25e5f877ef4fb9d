/* tests/sim/prices.c -- see prices.h. */
#include "tests/sim/prices.h"
#include "base/arena.h"
#include "base/digest.h"
#include "billing/price.h"
#include "billing/pricebook.h"
#include "billing/rate.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { PRICES_MAX = 1024, WORDS_BYTES_MAX = 16 << 20, NOTICE_US = 1000 };

static struct sim_price known[PRICES_MAX];
static unsigned known_count;
static struct publication_terms terms;
static struct arena *words_of_sheets;

void prices_forget(void)
{
    publication_terms_free(&terms);
    arena_free(words_of_sheets);
    words_of_sheets = NULL;
    known_count = 0;
}

static const struct sim_price *find_version(int64_t version)
{
    for (unsigned i = 0; i < known_count; i++)
        if (known[i].version == version)
            return &known[i];
    return NULL;
}

static enum status learn(const struct publication_term *t)
{
    if (!t->text || find_version(t->version)) /* without a text it is the list again */
        return STATUS_OK;
    assert(known_count < PRICES_MAX);
    struct sim_price *p = &known[known_count];
    *p = (struct sim_price){ .version = t->version };
    enum status s = pricebook_sheet(t->text, "base/chat", words_of_sheets, &p->sheet);
    if (s)
        return s;
    p->unit = p->sheet->periodic ? 0 : p->sheet->items[0].price.atoms;
    known_count++;
    return STATUS_OK;
}

static enum status learn_list(const struct term_list *l)
{
    enum status s = STATUS_OK;
    for (size_t i = 0; i < l->count && !s; i++)
        s = learn(&l->term[i]);
    return s;
}

enum status prices_load(struct db *db, int64_t now_us)
{
    char err[256];
    struct publication_terms fresh;
    enum status s = publication_terms(db, now_us, &fresh, err);
    if (s)
        return s;
    publication_terms_free(&terms);
    terms = fresh;
    if (!words_of_sheets)
        words_of_sheets = arena_new(WORDS_BYTES_MAX);
    s = words_of_sheets ? learn_list(&terms.list) : STATUS_NO_MEMORY;
    for (size_t i = 0; i < terms.own_count && !s; i++)
        s = learn_list(&terms.own[i].terms);
    return s;
}

/* Its name has the instant, so that no two are the same text. */
static void write_book(struct book_owner owner, int64_t atoms, int64_t effective_us,
                       char text[static 300], char name[static 40])
{
    snprintf(name, 40, "%s-%lld", book_kind_name(owner.kind), (long long)effective_us);
    int n = snprintf(text, 300, "currency USD book %s\nbase/chat input_uncached_tokens ", name);
    if (owner.kind == BOOK_RESALE)
        snprintf(text + n, 300 - (size_t)n, "graduated 100:%lld/1,2000:%lld/1,*:%lld/1\n",
                 (long long)(atoms + 9000), (long long)(atoms + 4000), (long long)atoms);
    else
        snprintf(text + n, 300 - (size_t)n, "%lld/1\n", (long long)atoms);
}

enum status prices_publish(struct db *db, struct book_owner owner, int64_t atoms,
                           int64_t effective_us, int64_t now_us)
{
    char text[300], name[40], err[256];
    uint8_t sha256[32];
    int64_t draft;
    json_t *published = NULL;
    write_book(owner, atoms, effective_us, text, name);
    digest_sha256(text, strlen(text), sha256);
    const struct proposal_new p = { owner,  name,         "USD",     text,
                                    sha256, effective_us, NOTICE_US, "uid:1" };
    enum status s = publication_propose(db, &p, now_us, &draft, err);
    if (!s)
        s = publication_approve(db, draft, "uid:2", NOTICE_US, now_us, &published, err);
    json_decref(published);
    return s ? s : prices_load(db, now_us);
}

static const struct sim_price *at(const struct term_list *l, int64_t us)
{
    const struct publication_term *holds = NULL;
    for (size_t i = 0; i < l->count && l->term[i].from_us <= us; i++)
        holds = &l->term[i];
    return holds ? find_version(holds->version) : NULL;
}

const struct sim_price *prices_at(struct book_owner owner, int64_t us,
                                  const struct sim_price *below)
{
    const struct sim_price *own = NULL;
    if (owner.kind == BOOK_LIST)
        own = at(&terms.list, us);
    for (size_t i = 0; i < terms.own_count; i++)
        if (terms.own[i].owner.kind == owner.kind &&
            terms.own[i].owner.organization == owner.organization)
            own = at(&terms.own[i].terms, us);
    return own ? own : below;
}

int64_t prices_most(const struct sim_price *p, uint64_t tokens)
{
    static const struct price_facts facts = { .context = 0 };
    money_t most;
    enum status s =
        rate_most(p->sheet, METER_BIT(INPUT_UNCACHED), tokens, &facts, PRICE_NO_END, &most);
    assert(s == STATUS_OK);
    return most.atoms;
}

void prices_bill(const struct sim_price *p, uint64_t tokens, struct ledger_settle *ret,
                 struct sim_words *words)
{
    uint64_t qty[METER_COUNT] = { [METER_INPUT_UNCACHED] = tokens };
    struct rate_line lines[PRICE_LINES_MAX];
    uint32_t unpriced;
    words->facts = (struct price_facts){ .context = (int64_t)tokens };
    const struct rate_request r = { .meters = METER_BIT(INPUT_UNCACHED),
                                    .qty = qty,
                                    .facts = &words->facts };
    enum status s = rate_request(p->sheet, &r, lines, &ret->line_count, &unpriced);
    assert(s == STATUS_OK);
    ret->amount.atoms = 0;
    for (unsigned i = 0; i < ret->line_count; i++) {
        ret->lines[i] = (struct bill_line){ .meter = lines[i].meter,
                                            .item = lines[i].item,
                                            .qty = (uint64_t)lines[i].qty,
                                            .amount = lines[i].amount,
                                            .before = lines[i].before };
        ret->amount.atoms += lines[i].amount.atoms;
    }
    if (price_item_plain(&p->sheet->items[0]))
        return;
    if (p->sheet->periodic) { /* else the lines are the bill */
        ret->sheet = p->sheet;
        ret->chosen_by = &words->facts;
    }
    ret->facts = price_facts_text(&words->facts, p->sheet->dims, words->text);
}
