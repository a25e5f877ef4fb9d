/* gateway/answer_room.c -- see answer_room.h. */
#include "gateway/answer_room.h"
#include "gateway/request.h"

struct allowance answers_allowance;

bool answer_room_count(struct request *r)
{
    return allowance_cover(&answers_allowance, r->snapshot->conf->answers_bytes_max,
                           r->answer.body.len, &r->answer.counted);
}

void answer_room_release(struct request *r)
{
    allowance_give_back(&answers_allowance, &r->answer.counted);
}
