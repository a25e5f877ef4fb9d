/* tests/oracle/ledger_oracle.h -- what the files of ledger_oracle share: see ledger_main.c. */
#ifndef MAAS_LEDGER_ORACLE_H
#define MAAS_LEDGER_ORACLE_H
#include "billing/document.h"
#include "billing/ledger.h"
#include <assert.h>
#include <jansson.h>

/* What it was started for, and its time. */
extern struct oracle {
    struct ledger *ledger;
    const char *dir, *currency;
    struct seller seller;
    _Atomic int64_t now_us, mono_ns;
} oracle;

/* ledger_main.c: a member of a command, "" or `otherwise` when it is not there. */
const char *text(const json_t *c, const char *name);
int64_t number(const json_t *c, const char *name, int64_t otherwise);
/* Into the answer to the command; takes `value`, which may be NULL. */
void say(const char *name, json_t *value);
void say_status(enum status s);
/* Into `ret` instead, until it is called with what it returned. */
json_t *say_into(json_t *ret);
void submit(struct ledger_op *op);
void wait_for_all(void);

/* ledger_requests.c: price books, holds and settlements. */
void requests_start(void);
void requests_forget(void); /* all that are open */
enum status run_publish(struct db *db, const json_t *c);
void do_many(const json_t *c); /* requests in one breath: they may share a batch */

/* ledger_writers.c: whatever else writes.  False: no such command. */
bool do_writer(const json_t *c);
#endif
