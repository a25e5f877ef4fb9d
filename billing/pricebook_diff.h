/* billing/pricebook_diff.h -- what one price book says otherwise than another.  Pure. */
#ifndef MAAS_PRICEBOOK_DIFF_H
#define MAAS_PRICEBOOK_DIFF_H
#include "base/status.h"
#include <jansson.h>

/* [{"model","meter","change":"added"|"removed"|"changed","before":[..],"after":[..]}], by model and
 * meter; the texts are those of pricebook.h, each price as a document says it.  BAD_FIELD: a text is
 * no price book. */
MUST_CHECK enum status pricebook_diff(const char *before, const char *after, json_t **ret);
#endif
