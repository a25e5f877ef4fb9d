/* gateway/hops.c -- see hops.h. */
#include "gateway/hops.h"
#include <strings.h>

/* RFC 8586: a list of cdn-id *( OWS ";" OWS parameter ); the id of any gateway of this kind is
 * BACKEND_HOP_NAME. */
static bool is_ours(struct span member)
{
    static const char name[] = BACKEND_HOP_NAME;
    size_t len = 0;
    while (member.len && (*member.at == ' ' || *member.at == '\t'))
        member = (struct span){ member.at + 1, member.len - 1 };
    while (len < member.len && !strchr("; \t", member.at[len]))
        len++;
    return len == sizeof name - 1 && strncasecmp(member.at, name, len) == 0;
}

unsigned hops_count(struct span value)
{
    unsigned count = 0;
    while (value.len) {
        const char *comma = memchr(value.at, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.at) : value.len;
        count += is_ours((struct span){ value.at, len });
        size_t used = comma ? len + 1 : len;
        value = (struct span){ value.at + used, value.len - used };
    }
    return count;
}
