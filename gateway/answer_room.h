/* gateway/answer_room.h -- memory for answers: each has its limit, all together have an allowance.
 *
 * A backend that answers without end, or every request with as much as one may
 * have, meets the allowance and not the machine's memory.  Small answers are not
 * counted: their number is bounded by the requests at once.
 */
#ifndef MAAS_ANSWER_ROOM_H
#define MAAS_ANSWER_ROOM_H
#include <stdbool.h>
#include <stddef.h>

struct request;

enum { ANSWER_SMALL_BYTES = 64 << 10 };

/* After r->answer.body has grown: counts what it has now.  False: all answers together are too large. */
bool answer_room_count(struct request *r);
void answer_room_release(struct request *r);

#endif
