/* gateway/answer_room.h -- memory for answers: each has its limit, all together have an allowance.
 *
 * A backend that answers without end, or every request with as much as one may
 * have, meets the allowance and not the machine's memory.
 */
#ifndef MAAS_ANSWER_ROOM_H
#define MAAS_ANSWER_ROOM_H
#include "base/allowance.h"

struct request;

extern struct allowance
    answers_allowance; /* of the process; drivers that gather count there, too */

/* After r->answer.body has grown.  False: all answers together are too large. */
bool answer_room_count(struct request *r);
void answer_room_release(struct request *r);

#endif
