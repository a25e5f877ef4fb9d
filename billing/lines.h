/* billing/lines.h -- the usage lines of a settlement as stored: [[meter,qty,atoms],...].
 * Only the writer is here; the audit reads them with code of its own. */
#ifndef MAAS_LINES_H
#define MAAS_LINES_H
#include "billing/ledger.h"

/* "[", "]", NUL, and for each meter "[", "]", three commas, 3 + 20 + 19 digits. */
enum { LINES_TEXT_BYTES = 3 + METER_COUNT * 48 };

/* Returns the length; not for hostile values: the caller has asserted them. */
size_t lines_text(const struct bill_line *lines, unsigned count,
                  char text[static LINES_TEXT_BYTES]);

/* "[", "]", NUL, and for each fund "[", "]", two commas and 2 * 19 digits. */
enum { DRAWS_TEXT_BYTES = 3 + DRAWS_MAX * 42 };

/* "[[fund,atoms],...]" of what funds paid; the length, 0 when they paid nothing. */
size_t draws_text(const struct draws *d, char text[static DRAWS_TEXT_BYTES]);
#endif
