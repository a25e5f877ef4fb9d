/* gateway/unix_path.h -- the name of a unix socket that is about to be bound. */
#ifndef MAAS_UNIX_PATH_H
#define MAAS_UNIX_PATH_H
#include "base/status.h"
#include <sys/un.h>

/* BAD_FIELD: no path, or longer than a socket's may be. */
MUST_CHECK enum status unix_path_address(const char *path, struct sockaddr_un *ret,
                                         const char **ret_why);
/* OK when nothing is there any more: a socket that nobody listens on is removed, everything else
 * stays, and *ret_why says what it is (of strerror, or static). */
MUST_CHECK enum status unix_path_clear(const struct sockaddr_un *address, const char **ret_why);

#endif
