/* gateway/facts.c -- see facts.h. */
#include "gateway/facts.h"
#include "gateway/request.h"
#include "gateway/retail.h"

/* Of all that may answer: dimensions that some price names, or what it costs us. */
static bool find_sheets(const struct request *r, unsigned *ret_dims)
{
    bool any = false;
    *ret_dims = 0;
    for (const struct catalog_model *m = r->model; m;
         m = m->fallback_to_parent ? m->parent : NULL) {
        const struct price_sheet *retail = r->retail ? retail_model(r, m)->sheet : NULL;
        any = any || m->sheet || retail || m->cost_facts;
        *ret_dims |= (m->sheet ? m->sheet->dims : 0) | (retail ? retail->dims : 0) | m->cost_dims;
    }
    return any;
}

/* A word as price books have them; anything else is "another value". */
static void read_word(const struct jfield *f, char *word)
{
    size_t len = 0;
    if (f->type == J_STRING && jscan_string(f, word, PRICE_WORD_BYTES_MAX + 1))
        len = strlen(word);
    if (strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789._-") != len)
        len = 0;
    word[len] = '\0';
}

/* What is asked for and not sold by its own price is of the standard tier.  batch and
 * provisioned are not a request's to choose. */
static void settle_tier(char *word)
{
    if (strcmp(word, "flex") != 0 && strcmp(word, "priority") != 0)
        memcpy(word, "standard", sizeof "standard");
}

static void read_dims(const struct request *r, unsigned dims, struct facts *f)
{
    static const unsigned json = CAP_CHAT | CAP_COMPLETIONS | CAP_EMBEDDINGS | CAP_IMAGES;
    struct jfield fields[PRICE_DIMS];
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        fields[d] = (struct jfield){ .key = price_dim_name((enum price_dim)d), .type = J_ABSENT };
    struct span body = { r->in.body, r->in.body_len }; /* ask_read has accepted it */
    bool read = (r->target.row->capability & json) && dims &&
                jscan_member(body, fields, PRICE_DIMS) == STATUS_OK;
    for (unsigned d = 0; d < PRICE_DIMS && read; d++)
        read_word(&fields[d], f->word[d]);
    settle_tier(f->word[PRICE_DIM_TIER]);
    for (unsigned d = 0; d < PRICE_DIMS; d++)
        f->of.dim[d] = (struct span){ f->word[d], strlen(f->word[d]) };
}

enum status facts_take(struct request *r)
{
    unsigned dims;
    if (r->facts || !find_sheets(r, &dims))
        return STATUS_OK;
    struct facts *f = arena_alloc(r->arena, sizeof *f);
    if (!f)
        return STATUS_NO_MEMORY;
    f->of.accepted_us = r->accepted_us;
    read_dims(r, dims, f);
    r->facts = f;
    return STATUS_OK;
}

struct price_list facts_prices(const struct request *r, const struct catalog_model *m)
{
    return (struct price_list){ m->priced, m->price, m->sheet, r->facts ? &r->facts->of : NULL };
}

const char *facts_text(struct request *r, const struct catalog_model *m, int64_t context)
{
    if (!m->sheet)
        return NULL;
    r->facts->of.context = context;
    return price_facts_text(&r->facts->of, m->sheet->dims, r->facts->text);
}

const char *facts_cost_text(struct request *r, const struct catalog_model *m, int64_t context,
                            char text[static FACTS_TEXT_BYTES])
{
    if (!m->sheet)
        return NULL;
    struct price_facts of = r->facts->of;
    of.context = context;
    return price_facts_text(&of, m->sheet->dims, text);
}
