/* billing/document_inside.h -- parts of documents that invoices and credit notes share. */
#ifndef MAAS_DOCUMENT_INSIDE_H
#define MAAS_DOCUMENT_INSIDE_H
#include "base/buf.h"
#include "billing/document.h"
#include "billing/period.h"

/* What all credit notes together took back of an invoice's line. */
MUST_CHECK enum status document_credited(struct db *db, const char *invoice, int64_t line,
                                         int64_t *ret_minor);
/* What a list says of an issued document. */
json_t *document_summary(const json_t *document);
/* The invoice itself takes the line back, or the line is what does so: nothing of it is asked for. */
bool document_is_reversed(const json_t *line);
/* A cell of a row, its comma before it unless it is the first; false: it does not fit. */
MUST_CHECK bool document_csv_cell(struct buf *b, const char *text, bool first);
/* The same of a member that is a text or an integer; empty when there is none. */
MUST_CHECK bool document_csv_value(struct buf *b, const json_t *object, const char *key,
                                   bool first);
json_t *document_seller(const struct seller *s);
/* The groups of taxes of lines as they are printed (net.h). */
MUST_CHECK enum status document_tax_groups(const json_t *lines, int digits,
                                           struct tax_group groups[static TAX_GROUPS_MAX],
                                           unsigned *ret_count);
json_t *document_taxes(const struct tax_group *groups, unsigned count, int digits);
#endif
