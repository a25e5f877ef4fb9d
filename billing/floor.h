/* billing/floor.h -- below which request id is everything settled?
 *
 * Open requests are counted in spans of about four seconds of ids (base/rid.h: an
 * id begins with its time).  The first span with an open one is the floor: after a
 * crash, recovery looks at no older row.  Never exact, always safe: when the table
 * is full the two oldest spans become one, and the floor is only lower than need
 * be.  Pure; the ledger thread's.
 */
#ifndef MAAS_FLOOR_H
#define MAAS_FLOOR_H
#include "base/rid.h"

enum { FLOOR_SPANS = 256 };
#define FLOOR_SPAN_IDS (INT64_C(1) << 34) /* 22 bits below the millisecond, and 4096 of these */

struct floor {
    struct floor_span {
        rid_t from; /* up to the next span's */
        int64_t open;
    } span[FLOOR_SPANS];
    unsigned count; /* >= 1 */
};

void floor_init(struct floor *f, rid_t from);             /* every id below `from` is settled */
void floor_add(struct floor *f, rid_t rid, int64_t open); /* +1: held; -1: settled */
rid_t floor_get(const struct floor *f);
bool floor_is_top(const struct floor *f); /* nothing is open at all */
void floor_trim(struct floor *f);         /* forgets what is settled; only after a commit */
#endif
