/* billing/price.h -- usage times price; pure, no clock, no store (rules R1-R3).
 *
 * What a request costs by the prices of its model: plain ones here, a sheet of items by
 * billing/rate.h.  What bounds a request bounds its bill: nothing is charged that was
 * not reserved. */
#ifndef MAAS_PRICE_H
#define MAAS_PRICE_H
#include "base/usage.h"
#include "billing/ledger.h"

struct price_list {                  /* prices of one model; borrowed from the pinned catalog */
    uint32_t priced;                 /* METER_BIT of each meter that has a price */
    const struct price *price;       /* METER_COUNT of them; not looked at when there is a sheet */
    const struct price_sheet *sheet; /* NULL: all prices are plain */
    const struct price_facts
        *facts; /* of a sheet, but for the context; the same at hold and bill */
};

/* The most a request can cost: every input byte a token at the dearest input
 * price, every output token at the dearest output price, times n, plus what is
 * fixed.  BILLING_OVERFLOW or MODEL_NOT_PRICED (no meter that applies is priced). */
struct price_bound {
    uint64_t input_tokens_max, output_tokens_max; /* output: already times n */
    uint64_t images_max, tensor_elements_max, compute_ms_max, characters_max, audio_ms_max,
        video_ms_max;
};
MUST_CHECK enum status price_upper_bound(const struct price_list *p, const struct price_bound *b,
                                         money_t *ret);

struct price_bill {
    struct bill_line lines[BILL_LINES_MAX]; /* the first `count` of them */
    unsigned count;
    money_t amount;  /* their sum */
    int64_t context; /* all input tokens that are billed: what chose the band */
    bool unpriced;   /* a bucket was used that has no price; it is not billed */
    bool clamped;    /* a bucket was beyond the bound and was cut to it */
};
/* A line per present and priced bucket with qty > 0.  Each bucket is first clamped to the
 * bound, so the sum never exceeds price_upper_bound of the same bound and facts. */
MUST_CHECK enum status price_rate(const struct price_list *p, const struct usage *u,
                                  const struct price_bound *b, struct price_bill *ret);
/* {"context":123,"size":"..",..}: the facts that chose the items, with those dimensions of `dims`
 * that are known.  Returns text. */
char *price_facts_text(const struct price_facts *f, unsigned dims,
                       char text[static FACTS_TEXT_BYTES]);
#endif
