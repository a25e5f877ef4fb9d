/* backends/workertest/worker_test.h -- does a worker keep to docs/worker-protocol.md?
 *
 * Plays the gateway towards a worker that its author runs, one check after the other, each on a connection
 * of its own.  Blocks; for the command line, not for the daemon.
 */
#ifndef MAAS_WORKER_TEST_H
#define MAAS_WORKER_TEST_H
#include "base/span.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct worker_test {
    const char *address; /* /PATH or shm:/PATH; unix:/PATH; HOST:PORT or tcp:HOST:PORT */
    const char *ask;  /* "chat=MODEL,embeddings=MODEL": what it can; the first is talked to most */
    struct span body; /* of the first one's requests, a JSON object; len 0: a plain one */
    const char *only; /* names of checks, by commas; "": all.  The first check is always made */
    int patience_ms;  /* for each thing that is waited for */
    FILE *out;
};

/* Prints a line a check and a closing line.  False: some failed, or the order makes no sense (said on
 * stderr, *ret_usage set). */
bool worker_test_run(const struct worker_test *t, bool *ret_usage);
#endif
