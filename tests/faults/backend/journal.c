/* tests/faults/backend/journal.c -- the truth: one line an event, by one write, on the monotonic clock. */
#include "tests/faults/backend/play.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int journal_fd = -1;

int64_t journal_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

bool journal_open(const char *path)
{
    journal_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return journal_fd >= 0;
}

/* What a test cannot read back is the test's failure to notice, not this program's. */
void journal(const struct play *p, const char *event, const char *extra_json)
{
    struct buf line;
    if (journal_fd < 0)
        return;
    buf_init(&line, 128 << 20);
    bool ok = buf_printf(&line, "{\"t\":%" PRId64 ",\"event\":\"%s\"", journal_now_ns(), event);
    if (p)
        ok = ok &&
             buf_printf(&line,
                        ",\"rid\":%" PRId64 ",\"via\":\"%s\",\"connection\":%u"
                        ",\"input_tokens\":%" PRId64 ",\"output_tokens\":%" PRId64,
                        p->rid, p->channel->name, p->connection, p->input_tokens, p->output_tokens);
    ok = ok && buf_printf(&line, "%s%s}\n", extra_json ? "," : "", extra_json ? extra_json : "");
    if (ok && write(journal_fd, line.at, line.len) < 0)
        ok = false;
    buf_free(&line);
}
