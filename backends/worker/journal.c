/* backends/worker/journal.c -- the worker's own truth, for tests: with MAASWORKER_JOURNAL=FILE
 * each start, cancel and end of a request is one line, appended by one write. */
#include "backends/worker/internal.h"
#include <stdio.h>
#include <unistd.h>

static int64_t counted(int64_t n)
{
    return n > 0 ? n : 0;
}

void wk_journal(const struct maas_call *c, const char *event, const struct maas_usage *u)
{
    int fd = c->session->worker->journal_fd;
    if (fd < 0)
        return;
    char line[200];
    int n =
        snprintf(line, sizeof line,
                 "{\"rid\":%lld,\"event\":\"%s\",\"input_tokens\":%lld,\"output_tokens\":%lld}\n",
                 (long long)c->req.request_id, event,
                 (long long)(counted(u->input_tokens) + counted(u->input_cached_tokens) +
                             counted(u->input_cache_write_tokens)),
                 (long long)(counted(u->output_tokens) + counted(u->output_reasoning_tokens)));
    /* A journal that cannot be written is the test's failure to notice, not the engine's. */
    if (n > 0 && write(fd, line, (size_t)n) < 0)
        return;
}
