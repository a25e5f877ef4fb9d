/* billing/payout.h -- what the owners of industry models earn from invoices.
 *
 * A share is a part of the net of an invoiced line (basis: net invoiced), split with
 * the largest remainder (rule R9) when the invoice is issued, taken back when a
 * credit note takes back the line, and owed to the partner until it is paid out.
 * All that writes runs inside a ledger_call.
 */
#ifndef MAAS_PAYOUT_H
#define MAAS_PAYOUT_H
#include "base/status.h"
#include <jansson.h>
#include <stdint.h>

struct db;

/* NOT_FOUND: no such partner; BAD_FIELD: more than 10000 would be given away for a model. */
MUST_CHECK enum status payout_rule(struct db *db, const char *model, const char *partner,
                                   int64_t basis_points, int64_t now_us);
/* [{"model","partner","basis_points","from"}] of those in force. */
MUST_CHECK enum status payout_rules(struct db *db, int64_t now_us, json_t **ret);

/* Of an invoice that was just frozen: its document and its number. */
MUST_CHECK enum status payout_share(struct db *db, const json_t *invoice, int64_t now_us);
/* Of a credit note that was just frozen. */
MUST_CHECK enum status payout_return(struct db *db, const json_t *note, int64_t now_us);

/* What a partner earned by documents issued in [from, to): {"object":"payout_statement", "partner",
 * "lines":[{"document","line","model","net","basis_points","amount"}], "total", "open"}. */
MUST_CHECK enum status payout_statement(struct db *db, const char *partner, const char *month,
                                        int minor_digits, json_t **ret);
#endif
