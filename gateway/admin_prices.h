/* gateway/admin_prices.h -- price books before they are in force, and as they come into it: the commands. */
#ifndef MAAS_ADMIN_PRICES_H
#define MAAS_ADMIN_PRICES_H
#include "billing/publication.h"
#include "gateway/admin_job.h"

enum status prepare_price_lint(struct admin_job *job);
enum status run_price_lint(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_price_diff(struct admin_job *job);
enum status run_price_diff(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_price_show(struct admin_job *job);
enum status run_price_show(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_simulate(struct admin_job *job);
enum status run_price_simulate(struct admin_job *job, struct db *db, int64_t now_us);

/* admin_publish.c: books that two people bring into force. */
enum status prepare_price_publish(struct admin_job *job);
enum status run_price_publish(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_price_withdraw(struct admin_job *job);
enum status run_price_withdraw(struct admin_job *job, struct db *db, int64_t now_us);
enum status prepare_price_approve(struct admin_job *job);
enum status run_price_approve(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_price_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_approver_add(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_approver_list(struct admin_job *job, struct db *db, int64_t now_us);
enum status run_approver_revoke(struct admin_job *job, struct db *db, int64_t now_us);

/* The list that the command is about is the one of then.  Main thread. */
void admin_take_list(struct admin_job *job, int64_t us);
/* The text of a book's file, against the models of the configuration; with an owner in the arguments
 * that of an organization, which has only what differs from the list (taken before).  Main thread. */
enum status admin_read_book(struct admin_job *job, const char *file, const char *text,
                            struct catalog **ret);
/* What admin_read_book has read of an organization, on the list. */
enum status admin_layer(struct admin_job *job, const struct catalog *own, struct catalog **ret);
/* Of the arguments; NOT_FOUND with a sentence: there is no such organization. */
enum status admin_find_owner(struct admin_job *job, struct db *db, struct book_owner *ret);

extern const struct json_spec admin_lint_args[], admin_diff_args[], admin_simulate_args[],
    admin_price_show_args[], admin_publish_args[], admin_withdraw_args[],
    admin_price_approve_args[], admin_approver_add_args[], admin_approver_args[];
#endif
