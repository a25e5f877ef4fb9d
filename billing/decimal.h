/* billing/decimal.h -- amounts as they are printed on documents. */
#ifndef MAAS_DECIMAL_H
#define MAAS_DECIMAL_H
#include "base/buf.h"
#include "base/money.h"
#include "conf/price_item.h"

enum { DECIMAL_TEXT_BYTES = 48 };

/* 4100 with 2 digits: "41.00".  Returns buf. */
char *decimal_minor(int64_t minor, int digits, char buf[static DECIMAL_TEXT_BYTES]);
/* All ten decimals: "0.0087550000". */
char *decimal_exact(int64_t atoms, char buf[static DECIMAL_TEXT_BYTES]);
/* "0.40 per 1000000"; "0.12 per 1". */
char *decimal_price(struct price p, char buf[static DECIMAL_TEXT_BYTES * 2]);
/* "4.00 per 1000000, context=32769..": a price and the requests that it holds for.  False: no
 * memory. */
MUST_CHECK bool decimal_item(struct buf *b, const struct price_item *i);
/* An amount as people write it, "12.5" or "12", in minor units; false when it is none, or finer than
 * these. */
MUST_CHECK bool decimal_parse_amount(const char *text, int digits, int64_t *ret);
/* The inverse of decimal_minor; false when the text is not of that form. */
MUST_CHECK bool decimal_parse_minor(const char *text, int digits, int64_t *ret);
#endif
