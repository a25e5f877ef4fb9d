/* billing/document_inside.h -- parts of documents that invoices and credit notes share. */
#ifndef MAAS_DOCUMENT_INSIDE_H
#define MAAS_DOCUMENT_INSIDE_H
#include "billing/document.h"
#include "billing/period.h"

/* The local day of an instant, "2026-12-01".  Returns buf. */
char *document_day(const struct zone *z, int64_t us, char buf[static PERIOD_TEXT_BYTES]);
/* What a list says of an issued document. */
json_t *document_summary(const json_t *document);
json_t *document_seller(const struct seller *s);
json_t *document_taxes(const struct tax_group *groups, unsigned count, int digits);
#endif
