/* bench/price.c -- what a hold and a bill cost in arithmetic: bench_price N
 *
 * Run it under callgrind with two Ns; the difference is the price of one request:
 *   valgrind --tool=callgrind build/release/bench_price 10000
 */
#include "billing/price.h"
#include <stdio.h>
#include <stdlib.h>

struct model {
    uint32_t priced;
    struct price price[METER_COUNT];
};

/* A chat model as most are: kinds of tokens that are not named cost what their base does. */
static void price_all(struct model *m)
{
    for (unsigned i = 0; i < METER_COUNT; i++)
        if (METERS_TOKENS >> i & 1)
            m->price[i] =
                (struct price){ METERS_TOKENS_IN >> i & 1 ? 1000000000 : 4000000000, 1000000 };
    m->price[METER_REQUESTS] = (struct price){ 10000000, 1 };
    m->priced = METERS_TOKENS | METER_BIT(REQUESTS);
}

static struct usage use(uint64_t out)
{
    struct usage u = { .present = 0 };
    usage_set(&u, METER_REQUESTS, 1);
    usage_set(&u, METER_INPUT_UNCACHED, 20);
    usage_set(&u, METER_INPUT_CACHED, 10);
    usage_set(&u, METER_OUTPUT_TEXT, out);
    usage_set(&u, METER_COMPUTE_MS, 3);
    return u;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    struct model m = { 0 };
    price_all(&m);
    struct price_list list = { .priced = m.priced, .price = m.price };
    struct price_bound bound = { .input_tokens_max = 400,
                                 .output_tokens_max = 256,
                                 .compute_ms_max = 600000 };
    int64_t sum = 0;
    for (long i = 0; i < count; i++) {
        struct usage u = use((uint64_t)(i & 63));
        struct price_bill bill;
        money_t most;
        if (price_upper_bound(&list, &bound, &most) || price_rate(&list, &u, &bound, &bill))
            return EXIT_FAILURE;
        sum += most.atoms + bill.amount.atoms + bill.count;
    }
    printf("%ld requests, sum %lld\n", count, (long long)sum);
    return EXIT_SUCCESS;
}
