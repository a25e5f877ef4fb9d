/* gateway/metrics.c -- see metrics.h. */
#include "gateway/metrics.h"
#include "base/log.h"
#include "gateway/courier.h"
#include "gateway/daemon.h"
#include "gateway/loop.h"
#include "gateway/process_facts.h"
#include "gateway/status_report.h"
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <string.h>

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

static bool put_seconds(struct buf *out, const char *name, const char *type, const char *help,
                        uint64_t ns)
{
    return buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 ".%09" PRIu64 "\n", name, help,
                      name, type, name, ns / 1000000000, ns % 1000000000);
}

/* By the names that every client library of Prometheus gives them. */
static bool put_process(const struct daemon *d, struct buf *out)
{
    const struct process_facts f = process_facts();
    return buf_text(out, "# HELP maasgate_build_info 1, of this version\n"
                         "# TYPE maasgate_build_info gauge\n"
                         "maasgate_build_info{version=\"" MAAS_VERSION "\"} 1\n") &&
           put_seconds(out, "process_start_time_seconds", "gauge", "when it started, Unix time",
                       (uint64_t)d->started_us * 1000) &&
           put_seconds(out, "process_cpu_seconds_total", "counter", "CPU time, all threads",
                       f.cpu_ns) &&
           put(out, "process_resident_memory_bytes", "gauge", "memory in use", f.resident_bytes) &&
           put(out, "process_open_fds", "gauge", "descriptors in use", f.open_fds) &&
           put(out, "process_max_fds", "gauge", "descriptors that it may have", f.max_fds);
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
           put_seconds(
               out, "maasgate_ledger_clock_behind_seconds", "gauge",
               "the wall clock is so far behind what was settled; periods are closed below 60",
               (uint64_t)ledger_clock_behind_us(d->ledger) * 1000) &&
           put(out, "maasgate_ledger_commits_total", "counter", "transactions on disk",
               READ(commits)) &&
           put_seconds(out, "maasgate_ledger_commit_seconds_total", "counter",
                       "time spent in commits", READ(commit_ns)) &&
           put(out, "maasgate_ledger_recovered_total", "counter",
               "requests settled by recovery at the last start", READ(recovered)) &&
           put(out, "maasgate_ledger_queue", "gauge", "operations that wait", READ(queue)) &&
           put(out, "maasgate_ledger_wal_bytes", "gauge", "size of the write-ahead log",
               READ(wal_bytes));
#undef READ
}

static bool put_alerts(struct daemon *d, struct buf *out)
{
    const struct courier_stats *s = courier_stats(d->courier);
#define READ(field) atomic_load_explicit(&s->field, memory_order_relaxed)
    return put(out, "maasgate_alerts_delivered_total", "counter", "alerts that a webhook has taken",
               READ(delivered)) &&
           put(out, "maasgate_alert_attempts_failed_total", "counter",
               "attempts to deliver an alert that failed", READ(failed)) &&
           put(out, "maasgate_alerts_given_up_total", "counter",
               "alerts that a webhook will not get unless they are redelivered", READ(given_up)) &&
           put(out, "maasgate_alerts_waiting", "gauge", "alerts that wait for a webhook",
               READ(waiting));
#undef READ
}

/* Prometheus has seconds where we have fields of milliseconds, whose names say so. */
static bool put_value(struct buf *out, const char *field, json_int_t value)
{
    size_t len = strlen(field);
    bool ms = len > 3 && strcmp(field + len - 3, "_ms") == 0;
    return ms ? buf_printf(out, "%lld.%03lld\n", (long long)(value / 1000),
                           (long long)(value % 1000))
              : buf_printf(out, "%lld\n", (long long)value);
}

struct backend_row {
    const char *name, *type, *field, *help;
};

static bool put_backend_row(json_t *backends, struct buf *out, const struct backend_row *row)
{
    size_t i;
    json_t *b;
    bool ok =
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name, row->type);
    json_array_foreach (backends, i, b)
        ok = ok &&
             buf_printf(out, "%s{backend=\"%s\"} ", row->name,
                        json_string_value(json_object_get(b, "name"))) &&
             put_value(out, row->field, json_integer_value(json_object_get(b, row->field)));
    return ok;
}

/* One line a backend each: their number is that of the names in the configuration. */
static const struct backend_row backend_rows[] = {
    { "maasgate_backend_connections_up", "gauge", "up", "loops that can reach the backend" },
    { "maasgate_backend_suspect", "gauge", "suspect", "loops that get no sign of life from it" },
    { "maasgate_backend_ejected", "gauge", "ejected", "loops that send it nothing for a while" },
    { "maasgate_backend_limited_seconds", "gauge", "limited_for_ms",
      "for how long it has asked to be left alone" },
    { "maasgate_backend_failures_in_a_row", "gauge", "failures_in_a_row", "on one loop, the most" },
    { "maasgate_backend_ttft_seconds", "gauge", "ttft_ms",
      "time to first token, the slowest loop's average" },
    { "maasgate_backend_calls_running", "gauge", "running", "calls in flight" },
    { "maasgate_backend_queue", "gauge", "queue", "requests that wait for it" },
    { "maasgate_backend_calls_total", "counter", "started", "calls begun" },
    { "maasgate_backend_calls_failed_total", "counter", "failed", "calls failed" },
    { "maasgate_backend_ejections_total", "counter", "ejections", "ejections, of all loops" },
    { "maasgate_backend_affinity_hits_total", "counter", "affinity_hits",
      "conversations that came to their home" },
    { "maasgate_backend_affinity_misses_total", "counter", "affinity_misses",
      "conversations that came here because their home was full" },
    { "maasgate_backend_protocol_errors_total", "counter", "protocol_errors",
      "sessions ended for breaking the protocol" },
};

static bool put_words(json_t *backends, struct buf *out)
{
    size_t i;
    json_t *b;
    bool ok = buf_text(out, "# HELP maasgate_backend_enabled 0 when the operator has drained or "
                            "disabled it\n# TYPE maasgate_backend_enabled gauge\n");
    json_array_foreach (backends, i, b) {
        const char *word = json_string_value(json_object_get(b, "word"));
        ok = ok && buf_printf(out, "maasgate_backend_enabled{backend=\"%s\"} %d\n",
                              json_string_value(json_object_get(b, "name")),
                              strcmp(word, "enabled") == 0);
    }
    return ok;
}

static bool put_backends(struct daemon *d, struct buf *out)
{
    size_t models_down;
    json_t *backends = status_backends(d, &models_down);
    bool ok = backends && put_words(backends, out) &&
              put(out, "maasgate_models_without_backend", "gauge",
                  "models that no backend could serve now", models_down);
    for (size_t i = 0; ok && i < sizeof backend_rows / sizeof *backend_rows; i++)
        ok = put_backend_row(backends, out, &backend_rows[i]);
    json_decref(backends);
    return ok;
}

enum status metrics_text(struct daemon *d, struct buf *out)
{
    bool ok =
        put_process(d, out) && put_counters(d, out) &&
        put(out, "maasgate_connections", "gauge", "open client connections", connections(d)) &&
        put(out, "maasgate_connections_refused_total", "counter",
            "turned away: connections_max or connections_per_ip_max",
            atomic_load_explicit(&d->refused_connections, memory_order_relaxed)) &&
        put(out, "maasgate_log_lines_dropped_total", "counter", "log lines dropped",
            log_dropped()) &&
        put_ledger(d, out) && put_alerts(d, out) && put_backends(d, out);
    return ok ? STATUS_OK : STATUS_NO_MEMORY;
}
