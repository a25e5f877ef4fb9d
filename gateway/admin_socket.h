/* gateway/admin_socket.h -- a unix socket that only its owner and root can use. */
#ifndef MAAS_ADMIN_SOCKET_H
#define MAAS_ADMIN_SOCKET_H
#include "base/status.h"
#include <stdbool.h>
#include <sys/socket.h>

/* Listens on `path`, mode 0600.  Its directory must be ours or root's and writable
 * by nobody else.  A socket left behind by a daemon that died is replaced; one
 * that answers, or anything that is no socket, is not.  The umask is tighter for a
 * moment, for every thread.  err: one sentence. */
MUST_CHECK enum status admin_socket_listen(const char *path, int *ret_fd, char err[static 256]);

/* The process at the other end, which *ret then is, runs as root or as we do. */
bool admin_peer_allowed(int fd, struct ucred *ret);
#endif
