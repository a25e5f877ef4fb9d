/* backends/refworker/prefix.c -- a set-associative cache of marks, least recently used out. */
#include "backends/refworker/prefix.h"
#include "backends/refworker/mix64.h"

struct prefix_mark prefix_extend(struct prefix_mark before, struct span text)
{
    return (struct prefix_mark){
        .a = mix64_bytes(before.a + 1, text.at, text.len),
        .b = mix64_bytes(before.b ^ MIX64_STEP, text.at, text.len),
    };
}

bool prefix_visit(struct prefix_cache *c, struct prefix_mark mark)
{
    struct prefix_entry *set = c->entries[mark.a % (PREFIX_ENTRIES / PREFIX_WAYS)];
    struct prefix_entry *oldest = set;
    for (size_t i = 0; i < PREFIX_WAYS; i++) {
        if (set[i].used && set[i].mark.a == mark.a && set[i].mark.b == mark.b) {
            set[i].used = ++c->clock;
            return true;
        }
        if (set[i].used < oldest->used)
            oldest = &set[i];
    }
    *oldest = (struct prefix_entry){ mark, ++c->clock };
    return false;
}
