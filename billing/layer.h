/* billing/layer.h -- the list with the book of an organization on it, as a version of the store. */
#ifndef MAAS_LAYER_H
#define MAAS_LAYER_H
#include "billing/publication.h"

/* What holds from ret->from_us on: the version, its name, its text (the caller's) and hash.  Stored,
 * unless it is there already: inside a ledger_call.  CONFLICT with a sentence: a request could have
 * more lines on its bill than there may be. */
MUST_CHECK enum status layer_term(struct db *db, const struct book_owner *of,
                                  const struct publication_term *list,
                                  const struct publication_term *own, struct publication_term *ret,
                                  char err[static 256]);
#endif
