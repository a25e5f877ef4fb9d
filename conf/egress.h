/* conf/egress.h -- to which addresses the gateway may open a connection.
 *
 * Upstreams are named by the configuration alone, yet a name is looked up again and
 * again and its answer belongs to somebody else.  So every address is asked about
 * here, at load when it is written out and right before connect() when it was looked
 * up, and what is asked about is what is connected to.
 *
 * Without `egress_allow` everything may be reached but the ranges in egress.c, in which
 * no model runs and much else does (the metadata services of clouds foremost).  With
 * it, only what it has; and a refused range still needs an entry that lies inside it,
 * so 0.0.0.0/0 does not open it by the way.
 */
#ifndef MAAS_EGRESS_H
#define MAAS_EGRESS_H
#include "base/cidr.h"
#include <stddef.h>

struct egress {
    const struct cidr *allowed; /* NULL: nothing was configured */
    size_t count;
};

/* NULL: it may be connected to.  Else why not, a static sentence.  A policy that is
 * NULL is the default one. */
const char *egress_refusal(const struct egress *e, const struct ip *address);
bool egress_same(const struct egress *a, const struct egress *b);
#endif
