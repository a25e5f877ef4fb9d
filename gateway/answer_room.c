/* gateway/answer_room.c -- see answer_room.h. */
#include "gateway/answer_room.h"
#include "gateway/request.h"
#include <stdatomic.h>

static _Atomic uint64_t answers_bytes; /* of all answers in the process that are not small */

static bool take(uint64_t more, uint64_t most)
{
    if (atomic_fetch_add_explicit(&answers_bytes, more, memory_order_relaxed) + more <= most)
        return true;
    atomic_fetch_sub_explicit(&answers_bytes, more, memory_order_relaxed);
    return false;
}

bool answer_room_count(struct request *r)
{
    struct answer *a = &r->answer;
    if (a->body.len <= ANSWER_SMALL_BYTES || a->body.len <= a->counted)
        return true;
    size_t need = (a->body.len + ANSWER_SMALL_BYTES - 1) / ANSWER_SMALL_BYTES * ANSWER_SMALL_BYTES;
    if (!take(need - a->counted, r->snapshot->conf->answers_bytes_max))
        return false;
    a->counted = need;
    return true;
}

void answer_room_release(struct request *r)
{
    if (r->answer.counted)
        atomic_fetch_sub_explicit(&answers_bytes, r->answer.counted, memory_order_relaxed);
    r->answer.counted = 0;
}
