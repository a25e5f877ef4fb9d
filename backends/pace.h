/* backends/pace.h -- how fast a backend begins: the time to its first token.
 *
 *     pace = TTFT * 256 / (256 + input tokens)
 *
 * that is, what the time would have been for an input of none, were it in proportion
 * to 256 tokens more than the input has.  It is averaged with a weight of 1/8 for
 * the newest (EWMA), and halved for every 10 s without a sample: a backend that was
 * slow once is tried again.  Only streams are sampled; of a whole answer the first
 * byte tells how long it is.  Pure.
 */
#ifndef MAAS_PACE_H
#define MAAS_PACE_H
#include <stdint.h>

enum { PACE_TOKENS = 256, PACE_SHARE = 8 };
#define PACE_HALF_LIFE_NS INT64_C(10000000000)

struct pace {                  /* all zero: unknown */
    uint64_t pace_ns, ttft_ns; /* averages; ttft as it was, for people */
    int64_t sampled_ns;
};

void pace_sample(struct pace *p, int64_t ttft_ns, uint64_t input_tokens, int64_t now_ns);
/* Nanoseconds; 0: unknown. */
uint64_t pace_now(const struct pace *p, int64_t now_ns);

#endif
