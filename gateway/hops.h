/* gateway/hops.h -- how many gateways has a request come through?
 *
 * A gateway behind a gateway is fine: a department's before a company's.  A backend
 * that leads back to where the request came from is a mistake that would go round until
 * something runs out, so after HOPS_MAX gateways a request is refused.
 *
 * Counted is the CDN-Loop header (RFC 8586), made for just this: a list of those it
 * came through, to which we add `maasgate`.  Via (RFC 9110 7.6.3) would do, too, but
 * what stands there belongs to whoever is in front of us and is not passed on, servers
 * change what they do when they see it, and proxies are told to fold or drop its members.
 * Only our own members are counted and only those are sent on; whoever forges some
 * hurts himself alone.  Workers are no gateways and are told nothing.
 */
#ifndef MAAS_HOPS_H
#define MAAS_HOPS_H
#include "backends/backend.h"

/* Of ours in one CDN-Loop header. */
unsigned hops_count(struct span value);
#endif
