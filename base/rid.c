/* base/rid.c -- request ids that grow with time and never twice, see the header. */
#include "base/rid.h"
#include "base/base32.h"
#include <assert.h>
#include <string.h>

enum { THREAD_BITS = 6, COUNTER_BITS = 16, MS_SHIFT = THREAD_BITS + COUNTER_BITS, MS_BITS = 41 };
enum { COUNTER_END = 1 << COUNTER_BITS };

static const int64_t epoch_ms = INT64_C(1704067200000); /* 2024-01-01T00:00:00Z */
static const char prefix[] = "req_";

_Static_assert(RID_THREADS_MAX == 1 << THREAD_BITS, "a thread number fits its bits");
_Static_assert(RID_TEXT_BYTES == sizeof prefix + BASE32_U64_DIGITS, "the text fits its buffer");

void rid_source_init(struct rid_source *s, unsigned thread, const struct env *env, rid_t floor)
{
    assert(thread < RID_THREADS_MAX && floor >= 0);
    s->thread = thread;
    s->ms = floor >> MS_SHIFT;
    s->counter = 0; /* nothing is left in the floor's ms, so the first id is in a later one */
    env->random(env->arg, &s->seed, sizeof s->seed);
}

/* splitmix64: good enough to hide a count, and no system call. */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

rid_t rid_next(struct rid_source *s, const struct env *env)
{
    int64_t now = env->wall_us(env->arg) / 1000 - epoch_ms;
    if (now > s->ms || s->counter == 0) {
        /* A clock that stands still or goes back borrows from the coming milliseconds. */
        s->ms = now > s->ms ? now : s->ms + 1;
        s->counter = COUNTER_END - (uint32_t)(next_random(&s->seed) % (COUNTER_END / 2));
    }
    assert(s->ms >> MS_BITS == 0);
    int64_t count = COUNTER_END - s->counter--;
    return s->ms << MS_SHIFT | (int64_t)s->thread << COUNTER_BITS | count;
}

rid_t rid_at(int64_t wall_us)
{
    int64_t ms = wall_us / 1000 - epoch_ms;
    return ms > 0 ? ms << MS_SHIFT : 1;
}

char *rid_text(rid_t rid, char buf[static RID_TEXT_BYTES])
{
    assert(rid > 0);
    memcpy(buf, prefix, sizeof prefix - 1);
    base32_u64((uint64_t)rid, buf + sizeof prefix - 1);
    return buf;
}

bool rid_parse(const char *text, rid_t *ret)
{
    uint64_t value;
    if (strnlen(text, RID_TEXT_BYTES) != RID_TEXT_BYTES - 1 ||
        memcmp(text, prefix, sizeof prefix - 1) != 0 ||
        !base32_read_u64(text + sizeof prefix - 1, &value) || value == 0 || value > INT64_MAX)
        return false;
    *ret = (rid_t)value;
    return true;
}
