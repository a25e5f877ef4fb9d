/* billing/document.h -- invoices and credit notes: drafted, issued, frozen.
 *
 * An invoice is of one organisation and one period of its contract's time zone.
 * A draft is computed whenever it is asked for; an issued document is canonical
 * JSON that is never changed, with a number that has no gap in its series.
 *
 *   draft.c     its lines, taxes and totals, from roll-ups, charges and contracts
 *   document.c  what is printed: the JSON; finding issued ones
 *   issue.c     approval, number, posting, freezing
 *   credit.c    credit notes, voiding
 *   document_page.c what one organization may read of it all
 *   document_csv.c, document_html.c   other forms of the same JSON
 */
#ifndef MAAS_DOCUMENT_H
#define MAAS_DOCUMENT_H
#include "billing/contract.h"
#include "billing/net.h"
#include "billing/report.h"
#include "billing/seller.h"
#include "billing/volume.h"

struct zone;

enum { DOCUMENT_INVOICE = 380, DOCUMENT_CREDIT_NOTE = 381 }; /* UNTDID 1001 */

struct draft {
    const struct seller *seller;  /* the operator, borrowed, or: */
    struct seller_own own_seller; /* a reseller; owned */
    const char *slug, *month;     /* borrowed */
    int64_t organization;
    int64_t period; /* its row; 0: nothing was used in it */
    int64_t from_us, to_us;
    struct contract contract; /* in force at its end */
    struct zone *zone;        /* owned */
    json_t *buyer, *currency; /* owned */
    json_t *lines;            /* owned */
    struct volume volume;     /* owned: what of the lines the close gives back */
    int64_t used_atoms;       /* rated, whoever paid for it */
    int64_t exact_atoms, net_minor, tax_minor, gross_minor;
    int64_t rounding_atoms; /* net - exact: what rounding the lines added */
    struct tax_group tax[TAX_GROUPS_MAX];
    unsigned tax_count;
};

void draft_clear(struct draft *d);
/* Whose it is and of when: all but lines, taxes and totals.  NOT_FOUND: no such organisation;
 * BAD_FIELD: not a month.  draft_clear() it also after an error. */
MUST_CHECK enum status draft_begin(struct db *db, const char *organization, const char *month,
                                   const struct seller *s, int64_t now_us, struct draft *ret);
/* The rest of it.  with_closing: what the period will cost beside usage is computed, too; else only
 * the charges that are written.  BILLING_OVERFLOW. */
MUST_CHECK enum status draft_fill(struct db *db, struct draft *d, bool with_closing);
/* Both. */
MUST_CHECK enum status draft_build(struct db *db, const char *organization, const char *month,
                                   const struct seller *s, bool with_closing, int64_t now_us,
                                   struct draft *ret);

/* The JSON of a draft; number NULL: it stays one. */
MUST_CHECK json_t *document_of_draft(const struct draft *d, const char *number, int64_t issued_us);
/* SHA-256 of what an approval is about: all of it but number, status and dates of issue. */
MUST_CHECK enum status document_digest(const struct draft *d, uint8_t ret[static 32]);
/* What was issued for the month, else its draft.  Errors as draft_build's. */
MUST_CHECK enum status document_of_month(struct db *db, const char *organization, const char *month,
                                         const struct seller *s, int64_t now_us, json_t **ret);
/* The issued invoice of a period; NULL in *ret when there is none. */
MUST_CHECK enum status document_find_invoice(struct db *db, int64_t organization, int64_t from_us,
                                             json_t **ret);
/* Any issued document, with "paid", "credited" and "state" beside it: of an invoice open, paid or
 * credited, and what is "open" (below 0: to be paid back); of a credit note issued. */
MUST_CHECK enum status document_find(struct db *db, const char *number, json_t **ret);
/* [{"number","type","organization","issue_date","due_date","net","tax","gross","state","paid",
 * "credited","open"}], by number. */
MUST_CHECK enum status document_list(struct db *db, const char *organization, json_t **ret);

/* document_page.c: what one organization may read. */
struct payer {
    int64_t organization;
    int64_t project; /* one of its own; 0: it has none */
    char slug[64];
};
/* Who pays for the project's usage. */
MUST_CHECK enum status document_payer(struct db *db, int64_t project, struct payer *ret);
/* The same of `customer`, who buys from that organization; NULL: of itself.  NOT_FOUND: nobody of that
 * name does. */
MUST_CHECK enum status document_customer(struct db *db, int64_t project, const char *customer,
                                         struct payer *ret);
/* document_find, of that organization's only: NOT_FOUND for another's, too. */
MUST_CHECK enum status document_find_of(struct db *db, int64_t organization, const char *number,
                                        json_t **ret);
struct document_query {
    int64_t organization;
    const char *month; /* "2026-11"; NULL: any */
    int type;          /* DOCUMENT_..; 0: any */
    const char *after; /* the last number of the page before; NULL: from the first */
    int64_t limit;     /* >= 1 */
};
/* {"object":"list","data":[as of document_list],"has_more","next_page":number or null}, by number;
 * NOT_FOUND: `after` is no document of the organization. */
MUST_CHECK enum status document_page(struct db *db, const struct document_query *q, json_t **ret);

/* Who has approved a draft of its period, and when: [{"by","at"}], the first first. */
MUST_CHECK enum status document_approvals(struct db *db, const char *number, json_t **ret);

/* issue.c; all inside a ledger_call.  CONFLICT: the month goes on, or is invoiced already (then *ret is
 * that invoice). */
MUST_CHECK enum status document_approve(struct db *db, const char *organization, const char *month,
                                        const struct seller *s, const char *by, int64_t now_us,
                                        json_t **ret);
/* Repeatable: the second call returns the first document.  CONFLICT while the month is open;
 * FORBIDDEN: the contract wants an approval of just this draft. */
MUST_CHECK enum status document_issue(struct db *db, const char *organization, const char *month,
                                      const struct seller *s, int64_t now_us, json_t **ret);
/* Ends the period now, before its month is over: what follows is for the next invoice. */
MUST_CHECK enum status document_cut(struct db *db, const char *organization, int64_t now_us);
/* NOT_FOUND; BAD_FIELD: more than is open. */
MUST_CHECK enum status document_pay(struct db *db, const char *number, const char *amount,
                                    const char *note, int64_t now_us, json_t **ret);
enum { DOCUMENT_NUMBER_BYTES = 96 };
/* The next number of a series: "MG-2026-000001"; the year is that of the issue. */
MUST_CHECK enum status document_number(struct db *db, const char *series, const struct zone *z,
                                       int64_t now_us, char ret_series[static 64],
                                       char ret_number[static DOCUMENT_NUMBER_BYTES]);
MUST_CHECK enum status document_freeze(struct db *db, int type, const char *series,
                                       const json_t *document, int64_t organization, int64_t period,
                                       const char *refers_to, const int64_t amounts[static 4],
                                       int64_t now_us);

/* credit.c.  line 0: all that is left of the invoice; amount NULL: all that is left of the line.
 * NOT_FOUND; BAD_FIELD with a sentence: more than is left, or nothing. */
MUST_CHECK enum status credit_note_issue(struct db *db, const char *invoice, int64_t line,
                                         const char *amount, const char *reason,
                                         const struct seller *s, int64_t now_us, json_t **ret,
                                         char err[static 256]);

char *document_csv(const json_t *document);  /* free() it; NULL: no memory */
char *document_html(const json_t *document); /* printable, no script, no outside resource */
#endif
