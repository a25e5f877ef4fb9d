/* billing/marks.h -- what each hold has taken out of funds, by request.
 *
 * Only requests of organisations with funds are in it.  The ledger thread's alone.
 */
#ifndef MAAS_MARKS_H
#define MAAS_MARKS_H
#include "base/rid.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DRAWS_MAX = 8 };

struct draw {
    int64_t fund, atoms;
};

struct draws { /* where an amount comes from: funds in the order of drawing, then credit */
    unsigned count;
    struct draw draw[DRAWS_MAX];
    int64_t credit;
};

struct marks { /* open addressing; a rid of 0 is an empty slot */
    struct mark {
        rid_t rid;
        struct draws draws;
    } * slots;
    size_t room, count;
};

void marks_free(struct marks *m);
MUST_CHECK bool marks_put(struct marks *m, rid_t rid, const struct draws *d); /* false: no memory */
const struct draws *marks_find(const struct marks *m, rid_t rid); /* NULL: there is none */
void marks_drop(struct marks *m, rid_t rid);                      /* also when there is none */
int64_t marks_of_fund(const struct marks *m, int64_t fund);       /* atoms of all holds together */
#endif
