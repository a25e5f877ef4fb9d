/* tests/mutate/main.c -- a million mutations of rings and frames, the same for the same seed.
 *
 *     mutate [COUNT [SEED]]       (make mutate)
 *
 * Half of them hit a ring alone, where millions are cheap; a quarter each the real carriers.
 */
#include "tests/mutate/mutate.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 20261124;
    struct dice d = { seed * UINT64_C(0x9e3779b97f4a7c15) | 1 };
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("mutate: seed %" PRIu64 "\n", seed);
    mutate_rings(&d, count / 2);
    mutate_carrier(&d, count / 4, true);
    mutate_carrier(&d, count / 4, false);
    puts("3 passed, 0 failed"); /* whatever is wrong aborts */
    return EXIT_SUCCESS;
}
