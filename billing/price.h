/* billing/price.h -- usage times price; pure, no clock, no store (rules R1-R3). */
#ifndef MAAS_PRICE_H
#define MAAS_PRICE_H
#include "base/usage.h"
#include "billing/ledger.h"

struct price_list {            /* prices of one model; borrowed from the pinned catalog */
    uint32_t priced;           /* METER_BIT of each meter that has a price */
    const struct price *price; /* METER_COUNT of them */
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

/* One line per present and priced bucket with qty > 0.  *ret_unpriced: a present
 * non-zero bucket has no price.  Each bucket is first clamped to the bound, so the
 * sum never exceeds price_upper_bound of the same bound; *ret_clamped says so. */
MUST_CHECK enum status price_rate(const struct price_list *p, const struct usage *u,
                                  const struct price_bound *b,
                                  struct bill_line lines[static METER_COUNT], unsigned *ret_count,
                                  money_t *ret_amount, bool *ret_unpriced, bool *ret_clamped);
#endif
