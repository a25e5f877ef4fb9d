/* tests/helpers/fault.h -- the nth allocation fails, once.
 *
 * Works in programs that are linked with --wrap=malloc,calloc,realloc,strdup, which
 * `make torture` does: it catches our code and the static libraries, and product code
 * needs no hook.  One thread at a time is counted: the one that armed.
 */
#ifndef MAAS_TEST_FAULT_H
#define MAAS_TEST_FAULT_H
#include <stdbool.h>

void fault_arm(unsigned nth); /* 0: never */
bool fault_fired(void);       /* since it was armed */

/* The torture loop, from nth = 0: arms the next allocation; false after a round in which
 * nothing was left to fail.  The body calls fault_arm(0) before it checks anything, because
 * the checks allocate, too.
 *
 *     for (unsigned nth = 0; fault_next(&nth);) {
 *         bool ok = operation();
 *         fault_arm(0);
 *         ck_assert(ok == !fault_fired());
 *     } */
bool fault_next(unsigned *nth);
#endif
