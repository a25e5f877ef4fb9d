/* gateway/admin.h -- the operator's door: a unix socket, one JSON object a line.
 *
 *   -> {"command":"key.create","args":{"project":"acme"}}
 *   <- {"ok":true,"result":{...}}
 *   <- {"ok":false,"error":{"code":"...","message":"...","field":"..."}}
 *
 * Only root and the daemon's own user are served.  Everything here runs on the
 * main loop; what touches the store runs on the ledger or the reader thread and
 * comes back.  Commands are rows of one table in admin_commands.c.
 */
#ifndef MAAS_ADMIN_H
#define MAAS_ADMIN_H
#include "auth/limits.h"
#include "base/status.h"
#include "gateway/daemon.h"

struct admin;

/* Listens on conf->admin_socket.  Needs the ledger, the reader and the keyring.  err: one sentence. */
MUST_CHECK enum status admin_open(struct daemon *d, struct admin **ret, char err[static 256]);
/* Runs the main loop until the last command has ended and every handle is closed,
 * and removes the socket: call it while the ledger and the reader still run. */
void admin_close(struct admin *a);

/* What a key without limits of its own may do. */
struct limits admin_default_limits(const struct conf *c);
#endif
