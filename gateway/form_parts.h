/* gateway/form_parts.h -- what form.c and form_head.c share; no other file includes it. */
#ifndef MAAS_FORM_PARTS_H
#define MAAS_FORM_PARTS_H
#include "gateway/form.h"

/* The header fields of a part, each with its line end.  NULL: fine; else what is wrong. */
const char *form_head(struct span head, struct form_part *ret);
/* Takes `; name=value` or `; name="value"` off the front of *rest.  False: there is none. */
bool form_parameter(struct span *rest, struct span *ret_name, struct span *ret_value);
bool form_same(struct span a, const char *lower); /* without regard to case */

#endif
