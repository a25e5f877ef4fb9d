/* gateway/listen.h -- one place accepts connections and hands each to the loop
 * that has the fewest.  Main thread, but for listen_ip_release. */
#ifndef MAAS_LISTEN_H
#define MAAS_LISTEN_H
#include "base/status.h"
#include <stdint.h>

struct daemon;
struct acceptor;

/* Opens conf->listen, or takes the sockets systemd hands over (then conf->listen
 * is not used).  err: one sentence. */
MUST_CHECK enum status acceptor_open(struct daemon *d, struct acceptor **ret, char err[static 256]);
/* No more connections from now on; what waits in the backlog is refused by the kernel. */
void acceptor_close(struct acceptor *a);

/* Any thread: a connection of this address slot has ended. */
void listen_ip_release(uint64_t slot);

#endif
