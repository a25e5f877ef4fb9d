/* gateway/choices.h -- how the choices of an answer ended, for the bill's outcome alone (reference/
 * billing.md 3.3 rows 4 and 17).  What is charged does not depend on it.
 *
 * The answer is not parsed for that: of a stream only events without output are looked at,
 * of a whole answer its end.  Only where several choices were asked for are they counted.
 */
#ifndef MAAS_CHOICES_H
#define MAAS_CHOICES_H
#include "base/span.h"
#include <stdbool.h>

struct request;

/* An event of a stream that was sent; carried: it has output. */
void choices_event(struct request *r, struct span event, bool carried);
/* After the end.  Ended by the provider's filter. */
bool choices_filtered(const struct request *r);
/* Fewer came to an end than were asked for. */
bool choices_missing(const struct request *r);

#endif
