/* gateway/publish.h -- a configuration is made ready to serve: its names get row
 * ids and its prices a version, before any loop sees it. */
#ifndef MAAS_PUBLISH_H
#define MAAS_PUBLISH_H
#include "gateway/daemon.h"

/* Main thread; waits for the ledger's commit. */
MUST_CHECK enum status publish_prepare(struct daemon *d, struct conf *conf, char err[static 256]);
/* Reads the keys of the store into the keyring; waits for the ledger. */
MUST_CHECK enum status publish_keys(struct daemon *d, const struct conf *conf,
                                    char err[static 256]);

#endif
