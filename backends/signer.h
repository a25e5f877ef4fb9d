/* backends/signer.h -- how a backend is shown its key.  Pure.
 *
 * A signer is a row: where the secret stands, under which name, behind which word.
 * Whoever gets it in a buffer wipes that buffer.
 */
#ifndef MAAS_SIGNER_H
#define MAAS_SIGNER_H
#include "base/buf.h"
#include "conf/catalog.h"

/* Adds "Name: word secret"; nothing when there is no secret or it does not stand in a header. */
MUST_CHECK bool signer_header(const struct catalog_backend *conf, struct buf *line);
/* Adds "name=secret", percent-encoded; nothing when there is no secret or it does not stand in
 * the query. */
MUST_CHECK bool signer_query(const struct catalog_backend *conf, struct buf *pair);
/* Does the text quote the secret, as it is or percent-encoded? */
bool signer_quoted(const struct catalog_backend *conf, const char *text);

/* Gives the memory back without what was in it. */
void signer_wipe(struct buf *b);

#endif
