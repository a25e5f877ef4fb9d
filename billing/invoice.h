/* billing/invoice.h -- an invoice before it is a document: built by invoice.c,
 * numbered and posted by invoice_issue.c, printed by invoice_csv.c. */
#ifndef MAAS_INVOICE_H
#define MAAS_INVOICE_H
#include "billing/report.h"

struct invoice {
    const struct seller *seller;
    const char *slug, *month;
    int64_t from_us, to_us;
    int64_t organization;
    int64_t period;   /* 0: nothing was used in it, so it has no row */
    json_t *buyer;    /* owned: name, address, tax_id, reference, po_number */
    json_t *currency; /* owned */
    json_t *lines;    /* owned */
    int64_t exact_atoms, net_minor, tax_minor, gross_minor;
    int64_t rounding_atoms; /* net - exact: what rounding the lines added */
};

void invoice_clear(struct invoice *i);
/* Reads the organisation and sums the month. NOT_FOUND, BAD_FIELD (not a month), BILLING_OVERFLOW. */
MUST_CHECK enum status invoice_draft(struct db *db, const char *organization, const char *month,
                                     const struct seller *s, struct invoice *ret);
/* The document; number NULL: a draft. */
MUST_CHECK json_t *invoice_document(const struct invoice *i, const char *number, int64_t issued_us);
/* The frozen document of an issued invoice; NULL in *ret when there is none. */
MUST_CHECK enum status invoice_find(struct db *db, const char *organization, const char *month,
                                    json_t **ret);
/* 10^(10 - minor_digits): atoms in a minor unit. */
int64_t invoice_minor_atoms(const struct seller *s);
#endif
