/* cli/cli.h -- the parts of the `maasgate` command.
 *
 * A command line becomes one JSON request to the daemon's admin socket, and the
 * answer becomes a table.  What can be typed is one table in commands.c; help and
 * parsing both come from it.
 */
#ifndef MAAS_CLI_H
#define MAAS_CLI_H
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum exit_code { EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_UNREACHABLE };

#define SOCKET_DEFAULT "/run/maasgate/admin.sock"
#define CONFIG_DEFAULT "/etc/maasgate/maasgate.yaml"

enum option_kind { OPTION_TEXT, OPTION_NUMBER, OPTION_FLAG };

struct option_row {
    const char *flag; /* "--budget" */
    const char *arg;  /* its name in the request */
    enum option_kind kind;
    const char *value, *help;
};

struct session {
    const char *socket_path;
    bool json; /* print the daemon's answer as it is */
};

enum { POSITIONS_MAX = 3 };

struct command {
    const char *words;                    /* "project create" */
    const char *positions[POSITIONS_MAX]; /* names in the request of what stands without a flag */
    unsigned required;                    /* so many of them must be there */
    const struct option_row *options;     /* ends with a row without flag; NULL: none */
    const char *ask;                      /* the daemon's command */
    /* Prints the answer; NULL when `run` does everything. */
    enum exit_code (*show)(json_t *result);
    enum exit_code (*verdict)(json_t *result); /* the exit with --json; NULL: OK */
    enum exit_code (*run)(const struct session *s, json_t *args);
    const char *help;
};

extern const struct command commands[]; /* ends with a row without words */

/* ---- client.c ---- */
/* One request, one answer: *ret_result on EXIT_OK, otherwise the reason is on stderr. */
enum exit_code ask(const struct session *s, const char *command, json_t *args, json_t **ret_result);

/* ---- options.c ---- */
/* argv after the command's words; *ret_args for the request, global options into s.
 * *ret_help: --help was there. */
enum exit_code options_read(const struct command *c, int argc, char **argv, struct session *s,
                            json_t **ret_args, bool *ret_help);
void help_all(FILE *out);
void help_row(const struct command *c, FILE *out); /* its line in a list of commands */
void help_command(const struct command *c, FILE *out);

/* ---- table.c ---- */
enum { COLUMNS_MAX = 13 };

struct column {
    const char *title, *key;
    bool right;       /* numbers */
    const char *zero; /* shown instead of 0; NULL: 0 */
};
/* An aligned table of an array of objects; columns end with a row without title. */
void table_print(json_t *rows, const struct column *columns);
/* Text of one value, control characters replaced; free() it. */
char *cell_text(json_t *value);
/* A member that is a text, borrowed; "" when it is none. */
const char *text_of(json_t *object, const char *key);

/* ---- show.c, money.c, invoice.c, line_requests.c, contract.c ---- */
enum exit_code show_project(json_t *result);
enum exit_code show_projects(json_t *result);
enum exit_code show_new_key(json_t *result);
enum exit_code show_keys(json_t *result);
enum exit_code show_revoked(json_t *result);
enum exit_code show_models(json_t *result);
enum exit_code show_reloaded(json_t *result);
enum exit_code show_status(json_t *result);
enum exit_code show_backend_test(json_t *result);
enum exit_code verdict_test(json_t *result);
enum exit_code show_steps(json_t *result); /* of a test, with its verdict */
enum exit_code show_backends(json_t *result);
enum exit_code show_backend(json_t *result);
enum exit_code show_audit(json_t *result);
enum exit_code verdict_audit(json_t *result);
enum exit_code show_usage(json_t *result);
enum exit_code show_margin(json_t *result);
enum exit_code show_trial_balance(json_t *result);
enum exit_code show_recounts(json_t *result);
enum exit_code run_invoice(const struct session *s, json_t *args);
enum exit_code run_document(const struct session *s, json_t *args);
enum exit_code run_credit_note(const struct session *s, json_t *args);
enum exit_code show_documents(json_t *result);
enum exit_code run_statement(const struct session *s, json_t *args);
enum exit_code run_document_requests(const struct session *s, json_t *args);
enum exit_code show_share(json_t *result);
enum exit_code show_shares(json_t *result);
enum exit_code show_payout(json_t *result);
enum exit_code show_paid(json_t *result);
enum exit_code run_contract_set(const struct session *s, json_t *args);
enum exit_code show_contracts(json_t *result);
enum exit_code show_organization(json_t *result);
enum exit_code show_organizations(json_t *result);
enum exit_code run_worker_test(const struct session *s, json_t *args);
enum exit_code run_count(const struct session *s, json_t *args);
enum exit_code show_fund(json_t *result);
enum exit_code show_funds(json_t *result);
enum exit_code show_charge(json_t *result);

/* ---- request.c ---- */
enum exit_code show_request(json_t *result);

/* ---- alert.c ---- */
enum exit_code show_alerts(json_t *result);
enum exit_code show_alert_test(json_t *result);
enum exit_code show_redelivered(json_t *result);

/* ---- price.c ---- */
enum exit_code run_price_lint(const struct session *s, json_t *args);
enum exit_code run_price_diff(const struct session *s, json_t *args);
enum exit_code run_price_simulate(const struct session *s, json_t *args);
enum exit_code run_backup(const struct session *s, json_t *args);
enum exit_code show_archive(json_t *result);
enum exit_code show_archives(json_t *result);
enum exit_code run_price_publish(const struct session *s, json_t *args);
enum exit_code run_price_withdraw(const struct session *s, json_t *args);
enum exit_code run_price_approve(const struct session *s, json_t *args);
enum exit_code run_price_key(const struct session *s, json_t *args);
enum exit_code show_price_books(json_t *result);
enum exit_code show_price_book(json_t *result);
enum exit_code show_approver(json_t *result);
enum exit_code show_approvers(json_t *result);
#endif
