/* gateway/admin_documents.h -- invoices and credit notes: the commands. */
#ifndef MAAS_ADMIN_DOCUMENTS_H
#define MAAS_ADMIN_DOCUMENTS_H
#include "gateway/admin_job.h"

enum status prepare_document(struct admin_job *job);
enum status run_invoice_get(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_invoice_approve(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_invoice_cut(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_invoice_issue(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_invoice_pay(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_document_get(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_statement(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_line_requests(struct admin_job *job);
enum status run_line_requests(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_document_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_share_set(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_share_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_payout(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_credit_note(struct admin_job *job, struct db *db, int64_t now_us);

extern const struct json_spec admin_invoice_args[], admin_approve_args[], admin_pay_args[],
    admin_document_args[], admin_document_list_args[], admin_credit_args[], admin_share_args[],
    admin_payout_args[], admin_statement_args[], admin_line_requests_args[];
#endif
