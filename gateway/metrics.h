/* gateway/metrics.h -- counters: one row gives the field, the name and the help.
 * The loop that owns them writes, the scrape adds up all loops. */
#ifndef MAAS_METRICS_H
#define MAAS_METRICS_H
#include "base/buf.h"
#include <stdatomic.h>
#include <stdint.h>

struct daemon;

/*    field               Prometheus name                    help */
#define COUNTER_MAP(X)                                                                            \
    X(accepted, "maasgate_connections_accepted_total", "connections accepted")                    \
    X(requests, "maasgate_requests_total", "requests whose request line was read")                \
    X(refused_framing, "maasgate_requests_refused_framing_total", "refused by the framing guard") \
    X(refused_auth, "maasgate_requests_refused_auth_total", "refused: key")                       \
    X(loops_detected, "maasgate_loops_detected_total", "requests that came back to a gateway")    \
    X(refused_limit, "maasgate_requests_refused_limit_total", "refused: rate or concurrency")     \
    X(refused_quota, "maasgate_requests_refused_quota_total", "refused: budget")                  \
    X(idempotent_replays, "maasgate_idempotent_replays_total",                                    \
      "answered again for an Idempotency-Key, and not charged")                                   \
    X(idempotency_refused, "maasgate_idempotency_refused_total",                                  \
      "refused: an Idempotency-Key in use, reused or without a kept answer")                      \
    X(held, "maasgate_requests_held_total", "requests whose hold reached the disk")               \
    X(settled, "maasgate_requests_settled_total", "requests whose settlement reached the disk")   \
    X(left_to_recovery, "maasgate_requests_left_to_recovery_total",                               \
      "requests whose settlement could not be written; recovery settles them at the next start")  \
    X(client_gone, "maasgate_requests_client_gone_total", "clients that left before the end")     \
    X(drained, "maasgate_drained_calls_total", "calls that went on after their client had left")  \
    X(client_retries, "maasgate_client_retries_total", "requests an SDK marked as a retry")       \
    X(backend_failures, "maasgate_backend_failures_total", "calls that a backend failed")         \
    X(failovers, "maasgate_failovers_total", "calls tried again on another backend")              \
    X(repeats, "maasgate_repeats_total", "of these, calls that were lost with their backend")     \
    X(retries_refused, "maasgate_retries_refused_total", "retries that the budget did not allow") \
    X(queued, "maasgate_requests_queued_total", "requests that waited for a backend with room")   \
    X(queue_refused, "maasgate_requests_queue_refused_total",                                     \
      "refused: no backend had room and neither had its queue")                                   \
    X(queue_expired, "maasgate_requests_queue_expired_total", "waited for room in vain")          \
    X(fallbacks, "maasgate_parent_fallbacks_total", "requests served by the parent model")        \
    X(unpriced, "maasgate_unpriced_usage_total", "settlements with a used but unpriced meter")    \
    X(unreported, "maasgate_unreported_usage_total",                                              \
      "whole answers without reported usage: tokens are billed only if the gateway counts")       \
    X(recounts, "maasgate_token_counts_total", "requests whose tokens the gateway counted, too")  \
    X(uncounted, "maasgate_token_counts_incomplete_total",                                        \
      "of these, where something was not to be counted: pictures, tools, words of a megabyte")    \
    X(mismatches, "maasgate_token_mismatches_total",                                              \
      "of these, where a backend's number was further off than the tolerance")                    \
    X(clamped, "maasgate_clamped_usage_total", "settlements with usage beyond the hold's bound")  \
    X(checkpoints, "maasgate_stream_checkpoints_total",                                           \
      "times that the ledger was told how far a stream has come")                                 \
    X(budget_cuts, "maasgate_budget_cuts_total",                                                  \
      "streams that ended in the middle because their hold could not grow")                       \
    X(stream_events, "maasgate_stream_events_total", "stream events sent")                        \
    X(direct_chunks, "maasgate_stream_direct_chunks_total",                                       \
      "chunks of streams that the gateway itself has written to the socket")                      \
    X(http_runs, "maasgate_http_runs_total",                                                      \
      "runs of the HTTP library; each may look at every connection that waits")                   \
    X(answers_2xx, "maasgate_answers_2xx_total", "answers with a 2xx status")                     \
    X(answers_4xx, "maasgate_answers_4xx_total", "answers with a 4xx status")                     \
    X(answers_5xx, "maasgate_answers_5xx_total", "answers with a 5xx status")

struct counters {
#define X(field, name, help) _Atomic uint64_t field;
    COUNTER_MAP(X)
#undef X
};

/* Only the owner of the counters may call it: a plain add, no locked instruction. */
#define COUNT(counters_, field_)                                                                \
    atomic_store_explicit(&(counters_)->field_,                                                 \
                          atomic_load_explicit(&(counters_)->field_, memory_order_relaxed) + 1, \
                          memory_order_relaxed)

/* The Prometheus text of the whole process; any thread. */
enum status metrics_text(struct daemon *d, struct buf *out);

#endif
