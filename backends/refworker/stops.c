/* backends/refworker/stops.c -- where an answer has to stop. */
#include "backends/refworker/stops.h"

/* True when the text from `at` on is a stop string, or all of it is the beginning of one. */
static bool begins_stop(struct span stop, struct span text, size_t at, bool *ret_whole)
{
    size_t left = text.len - at;
    *ret_whole = left >= stop.len;
    return memcmp(text.at + at, stop.at, *ret_whole ? stop.len : left) == 0;
}

size_t stops_check(const struct stops *s, struct span text, size_t checked, bool *ret_stopped)
{
    *ret_stopped = false;
    if (s->count == 0)
        return text.len;
    size_t safe = text.len;
    for (size_t at = checked; at < text.len; at++)
        for (size_t i = 0; i < s->count; i++) {
            bool whole;
            if (!begins_stop(s->text[i], text, at, &whole))
                continue;
            if (whole) {
                *ret_stopped = true;
                return at;
            }
            if (safe == text.len)
                safe = at;
        }
    return safe;
}
