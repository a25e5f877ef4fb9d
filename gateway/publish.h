/* gateway/publish.h -- a configuration is made ready to serve: its names get row
 * ids and its prices a version, before any loop sees it. */
#ifndef MAAS_PUBLISH_H
#define MAAS_PUBLISH_H
#include "gateway/daemon.h"

struct pricing;

/* *ret: the prices that the configuration or the store has for it.  Main thread; waits for the
 * ledger's commit. */
MUST_CHECK enum status publish_prepare(struct daemon *d, struct conf *conf, struct pricing **ret,
                                       char err[static 256]);
/* The same once more of a configuration that is prepared: the store has other prices. */
MUST_CHECK enum status publish_prices(struct daemon *d, struct conf *conf, struct pricing **ret,
                                      char err[static 256]);
/* Whether the store has keys that are not revoked; waits for the ledger. */
MUST_CHECK enum status publish_has_keys(struct daemon *d, bool *ret, char err[static 256]);
/* Reads the keys of the store into the keyring; waits for the ledger. */
MUST_CHECK enum status publish_keys(struct daemon *d, const struct conf *conf,
                                    char err[static 256]);

#endif
