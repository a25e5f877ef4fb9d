/* conf/book.h -- a price book in a file of its own, read against the models of a catalog.
 *
 *     price_book: autumn
 *     models:
 *       base/chat: {input_uncached_tokens: 2.50/1M, output_text_tokens: 10/1M}
 *
 * What stands below a model is what its `price` in the configuration would be, and the same
 * rules hold: a model without an entry costs what its parent does, and all others must be there.
 */
#ifndef MAAS_CONF_BOOK_H
#define MAAS_CONF_BOOK_H
#include "conf/catalog.h"
#include "conf/conf.h"

enum { BOOK_BYTES_MAX = 512 << 10 };

/* The models of `of`, which is kept, at the prices of the book; its text and hash are sealed.  `name`
 * is for messages.  Any thread that holds a reference to `of`.  BAD_FIELD with one line in err, as
 * conf_load's; NO_MEMORY. */
MUST_CHECK enum status book_read(const char *name, struct span text, struct catalog *of,
                                 struct catalog **ret, char err[static CONF_ERROR_BYTES]);
/* The same of an organization's book: only what differs from the list.  A model or a meter that the
 * list has not is refused; a meter that costs in the list just what the one does that it is a kind of
 * (input_cached_tokens of input_uncached_tokens) follows that one, unless it is named.  *ret has prices
 * of what the book says, and of nothing else. */
MUST_CHECK enum status book_read_own(const char *name, struct span text, struct catalog *list,
                                     struct catalog **ret, char err[static CONF_ERROR_BYTES]);
#endif
