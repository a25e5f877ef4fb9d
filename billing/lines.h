/* billing/lines.h -- the usage lines of a settlement as stored: [[meter,qty,atoms],...].
 *
 * Behind the three numbers stands the item when it is not 0 (or `before` is not), then the
 * units before when they are not 0; behind the lines the facts that chose the items, when
 * there are any (billing/schema/0005.sql).  Only the writer is here; the audit reads them
 * with code of its own. */
#ifndef MAAS_LINES_H
#define MAAS_LINES_H
#include "billing/ledger.h"

/* "[", "]", NUL, the facts and a comma, and for each line "[", "]", five commas and 3 + 20 + 19 +
 * 3 + 19 digits. */
enum { LINES_TEXT_BYTES = 4 + FACTS_TEXT_BYTES + BILL_LINES_MAX * 72 };

/* facts: NULL, or what chose the items.  Returns the length; not for hostile values: the caller has
 * asserted them. */
size_t lines_text(const struct bill_line *lines, unsigned count, const char *facts,
                  char text[static LINES_TEXT_BYTES]);

/* "[", "]", NUL, and for each fund "[", "]", two commas and 2 * 19 digits. */
enum { DRAWS_TEXT_BYTES = 3 + DRAWS_MAX * 42 };

/* "[[fund,atoms],...]" of what funds paid; the length, 0 when they paid nothing. */
size_t draws_text(const struct draws *d, char text[static DRAWS_TEXT_BYTES]);
#endif
