/* gateway/metrics.c -- see metrics.h. */
#include "gateway/metrics.h"
#include "base/log.h"
#include "gateway/daemon.h"
#include "gateway/loop.h"
#include "gateway/status_report.h"
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>

static const struct {
    size_t offset;
    const char *name, *help;
} counter_rows[] = {
#define X(field, name, help) { offsetof(struct counters, field), name, help },
    COUNTER_MAP(X)
#undef X
};

static uint64_t sum_counter(const struct daemon *d, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < d->loop_count; i++)
        sum += atomic_load_explicit((_Atomic uint64_t *)((char *)&d->loops[i].counters + offset),
                                    memory_order_relaxed);
    return sum;
}

static bool put(struct buf *out, const char *name, const char *type, const char *help,
                uint64_t value)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type,
                      name, value);
}

static bool put_counters(struct daemon *d, struct buf *out)
{
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof counter_rows / sizeof *counter_rows; i++)
        ok = put(out, counter_rows[i].name, "counter", counter_rows[i].help,
                 sum_counter(d, counter_rows[i].offset));
    return ok;
}

static uint64_t connections(const struct daemon *d)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < d->loop_count; i++)
        sum += atomic_load_explicit(&d->loops[i].connections, memory_order_relaxed);
    return sum;
}

static bool put_ledger(struct daemon *d, struct buf *out)
{
    const struct ledger_stats *s = ledger_stats(d->ledger);
#define READ(field) atomic_load_explicit(&s->field, memory_order_relaxed)
    return put(out, "maasgate_ledger_healthy", "gauge", "1 while the ledger can be written",
               ledger_healthy(d->ledger)) &&
           put(out, "maasgate_ledger_commits_total", "counter", "transactions on disk",
               READ(commits)) &&
           put(out, "maasgate_ledger_commit_nanoseconds_total", "counter", "time spent in commits",
               READ(commit_ns)) &&
           put(out, "maasgate_ledger_recovered_total", "counter",
               "requests settled by recovery at the last start", READ(recovered)) &&
           put(out, "maasgate_ledger_queue", "gauge", "operations that wait", READ(queue)) &&
           put(out, "maasgate_ledger_wal_bytes", "gauge", "size of the write-ahead log",
               READ(wal_bytes));
#undef READ
}

static bool put_backend_rows(json_t *backends, struct buf *out, const char *metric,
                             const char *type, const char *field, const char *help)
{
    size_t i;
    json_t *b;
    bool ok = buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
    json_array_foreach (backends, i, b)
        ok = ok && buf_printf(out, "%s{backend=\"%s\"} %" JSON_INTEGER_FORMAT "\n", metric,
                              json_string_value(json_object_get(b, "name")),
                              json_integer_value(json_object_get(b, field)));
    return ok;
}

static bool put_backends(struct daemon *d, struct buf *out)
{
    json_t *backends = status_backends(d);
    bool ok = backends &&
              put_backend_rows(backends, out, "maasgate_backend_connections_up", "gauge", "up",
                               "loops that can reach the backend") &&
              put_backend_rows(backends, out, "maasgate_backend_calls_running", "gauge", "running",
                               "calls in flight") &&
              put_backend_rows(backends, out, "maasgate_backend_calls_total", "counter", "started",
                               "calls begun") &&
              put_backend_rows(backends, out, "maasgate_backend_calls_failed_total", "counter",
                               "failed", "calls failed") &&
              put_backend_rows(backends, out, "maasgate_backend_protocol_errors_total", "counter",
                               "protocol_errors", "sessions ended for breaking the protocol");
    json_decref(backends);
    return ok;
}

enum status metrics_text(struct daemon *d, struct buf *out)
{
    bool ok =
        put_counters(d, out) &&
        put(out, "maasgate_connections", "gauge", "open client connections", connections(d)) &&
        put(out, "maasgate_log_lines_dropped_total", "counter", "log lines dropped",
            log_dropped()) &&
        put_ledger(d, out) && put_backends(d, out);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}
