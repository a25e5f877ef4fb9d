/* backends/pace.c -- see pace.h. */
#include "backends/pace.h"

#define TTFT_NS_MAX (UINT64_C(24) * 3600 * 1000000000)

static uint64_t average(uint64_t before, uint64_t sample)
{
    if (!before)
        return sample;
    return before - before / PACE_SHARE + sample / PACE_SHARE;
}

void pace_sample(struct pace *p, int64_t ttft_ns, uint64_t input_tokens, int64_t now_ns)
{
    uint64_t ttft = ttft_ns > 0 ? (uint64_t)ttft_ns : 1;
    if (ttft > TTFT_NS_MAX)
        ttft = TTFT_NS_MAX;
    if (input_tokens > UINT32_MAX)
        input_tokens = UINT32_MAX;
    uint64_t pace = ttft * PACE_TOKENS / (PACE_TOKENS + input_tokens);
    p->pace_ns = average(pace_now(p, now_ns), pace ? pace : 1);
    p->ttft_ns = average(p->ttft_ns, ttft);
    p->sampled_ns = now_ns;
}

uint64_t pace_now(const struct pace *p, int64_t now_ns)
{
    int64_t halvings = (now_ns - p->sampled_ns) / PACE_HALF_LIFE_NS;
    return halvings < 64 ? p->pace_ns >> (halvings > 0 ? halvings : 0) : 0;
}
