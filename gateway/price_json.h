/* gateway/price_json.h -- prices as clients and the operator read them. */
#ifndef MAAS_PRICE_JSON_H
#define MAAS_PRICE_JSON_H
#include "conf/price_item.h"
#include <jansson.h>

/* {"kind":"unit","amount":"4.00","per":1000000,"context_min":32769,"size":"1024x1024",..}: an amount
 * for so many units, tiers, or units that are included; then the conditions there are.
 * NULL: no memory. */
MUST_CHECK json_t *price_json(const struct price_item *i);
#endif
