/* conf/conf_table.c -- every setting, one row each, alphabetical.
 *
 * Without CONF_RELOAD: a change needs a restart, because the value is built into something
 * that lives as long as the process (a socket, a thread, the ledger, the HTTP library).
 */
#include "conf/conf.h"

#define AT(field) #field, offsetof(struct conf, field)
#define SECOND    UINT64_C(1000)
#define HOUR      (3600 * SECOND)
#define KB        (UINT64_C(1) << 10)
#define MB        (UINT64_C(1) << 20)
#define GB        (UINT64_C(1) << 30)

/* clang-format off */
const struct conf_row conf_table[] = {
    { AT(admin_socket), CONF_PATH, "/run/maasgate/admin.sock", 1, 107, 0, NULL,
      "unix socket of the admin API and of the `maasgate` command" },
    { AT(answer_bytes_max), CONF_BYTES, "64M", MB, GB, CONF_RELOAD, NULL,
      "largest answer of one request; beyond it 502" },
    { AT(answers_bytes_max), CONF_BYTES, "512M", MB, 64 * GB, CONF_RELOAD, NULL,
      "memory for all answers larger than 64K together; beyond it 503" },
    { AT(backend_header), CONF_ENUM, "hidden", 0, 0, CONF_RELOAD, "hidden|shown",
      "whether answers name the backend that worked on them, in x-maas-backend" },
    { AT(bodies_bytes_max), CONF_BYTES, "256M", MB, 64 * GB, CONF_RELOAD, NULL,
      "memory for all request bodies together; beyond it 503" },
    { AT(body_bytes_max), CONF_BYTES, "32M", KB, GB, CONF_RELOAD, NULL,
      "largest body of one request; beyond it 413" },
    { AT(body_timeout_ms), CONF_MSEC, "60s", SECOND, HOUR, CONF_RELOAD, NULL,
      "time for a whole request body to arrive" },
    { AT(chunk_timeout_ms), CONF_MSEC, "60s", 100, HOUR, CONF_RELOAD, NULL,
      "longest silence of a backend inside an answer" },
    { AT(connect_timeout_ms), CONF_MSEC, "5s", 10, HOUR, CONF_RELOAD, NULL,
      "time to connect to a backend" },
    { AT(connections_max), CONF_COUNT, "4096", 16, 1000000, 0, NULL,
      "client connections at once" },
    { AT(connections_per_ip_max), CONF_COUNT, "256", 1, 1000000, CONF_RELOAD, NULL,
      "of these from one address" },
    { AT(currency), CONF_CURRENCY, "USD", 0, 0, 0, NULL,
      "ISO 4217 code of all prices, budgets and invoices" },
    { AT(currency_minor_digits), CONF_COUNT, "2", 0, 4, 0, NULL,
      "decimals of an amount that can be paid: 2 for cents" },
    { AT(default_budget), CONF_MONEY, "100.00", 0, 0, CONF_RELOAD, NULL,
      "money a month of a project that is made without a budget" },
    { AT(default_concurrency), CONF_COUNT, "64", 1, 1000000, 0, NULL,
      "requests at once of a key that says nothing else" },
    { AT(default_requests_per_minute), CONF_COUNT, "600", 1, 1000000000, 0, NULL,
      "requests a minute of a key that says nothing else" },
    { AT(default_tokens_per_minute), CONF_COUNT, "1000000", 1, 1000000000000, 0, NULL,
      "tokens a minute of a key that says nothing else" },
    { AT(drain_timeout_ms), CONF_MSEC, "30s", 0, HOUR, CONF_RELOAD, NULL,
      "time for running requests to end at a shutdown" },
    { AT(first_byte_timeout_ms), CONF_MSEC, "120s", 100, HOUR, CONF_RELOAD, NULL,
      "time for a backend to begin its answer" },
    { AT(header_bytes_max), CONF_BYTES, "16K", 4 * KB, MB, 0, NULL,
      "request line and headers; beyond it 431" },
    { AT(header_fields_max), CONF_COUNT, "100", 16, 1000, CONF_RELOAD, NULL,
      "header fields of one request; beyond it 431" },
    { AT(header_timeout_ms), CONF_MSEC, "10s", 100, HOUR, CONF_RELOAD, NULL,
      "time for a whole request head to arrive" },
    { AT(house_organization), CONF_STR, "", 0, 63, CONF_RELOAD, NULL,
      "slug of the organization whose finance keys may read margins; empty is none" },
    { AT(idempotency_answer_bytes_max), CONF_BYTES, "64K", 0, 16 * MB, CONF_RELOAD, NULL,
      "largest answer that is kept in the ledger for its Idempotency-Key; 0 keeps none" },
    { AT(idempotency_answer_keep_ms), CONF_MSEC, "24h", SECOND, 35 * 24 * HOUR, 0, NULL,
      "how long such an answer is given again; afterwards 409" },
    { AT(idempotency_answers_bytes_max), CONF_BYTES, "256M", 0, 64 * GB, 0, NULL,
      "of all kept answers together; the oldest make room" },
    { AT(idempotency_keep_ms), CONF_MSEC, "840h", 35 * 24 * HOUR, 800 * 24 * HOUR, 0, NULL,
      "how long an Idempotency-Key is remembered, so that it is never charged twice" },
    { AT(idle_timeout_ms), CONF_MSEC, "75s", 100, HOUR, CONF_RELOAD, NULL,
      "life of a connection without a request" },
    { AT(invoice_series), CONF_STR, "INV", 1, 16, CONF_RELOAD, NULL,
      "what invoice numbers begin with" },
    { AT(listen), CONF_LISTEN, "127.0.0.1:8080", 1, 300, 0, NULL,
      "where clients connect: HOST:PORT, [V6]:PORT or unix:/PATH" },
    { AT(log_level), CONF_ENUM, "info", 0, 0, CONF_RELOAD, "error|warning|info|debug",
      "the least important line that is still written" },
    { AT(loop_threads), CONF_COUNT, "0", 0, 256, 0, NULL,
      "threads that serve requests; 0 is one per core" },
    { AT(metrics_listen), CONF_LISTEN, "", 0, 300, 0, NULL,
      "own listener for /metrics, without keys; empty is none" },
    { AT(pepper_file), CONF_PATH, "", 0, 4095, 0, NULL,
      "secret of at least 32 bytes that key digests are made with; empty is the systemd credential "
      "`pepper`, else one made in state_dir at the first start" },
    { AT(price_notice_ms), CONF_MSEC, "24h", SECOND, 8760 * HOUR, CONF_RELOAD, NULL,
      "least time between the publication of a price book and the moment that it is in force" },
    { AT(price_source), CONF_ENUM, "configuration", 0, 0, CONF_RELOAD, "configuration|published",
      "where prices come from: this file, or books that two people publish (`maasgate price "
      "publish`); then this file has none" },
    { AT(request_memory_max), CONF_BYTES, "1M", 64 * KB, GB, CONF_RELOAD, NULL,
      "memory of one request beside its body and its answer; beyond it 503" },
    { AT(request_timeout_ms), CONF_MSEC, "10m", SECOND, 24 * HOUR, CONF_RELOAD, NULL,
      "longest time from a request's arrival to the end of its answer" },
    { AT(retention_months), CONF_COUNT, "3", 2, 1200, CONF_RELOAD, NULL,
      "whole months whose requests stay in the store, before they may be archived" },
    { AT(seller_address), CONF_STR, "", 0, 200, CONF_RELOAD, NULL,
      "of the seller, on invoices" },
    { AT(seller_name), CONF_STR, "", 0, 200, CONF_RELOAD, NULL,
      "who sends the invoices" },
    { AT(seller_tax_id), CONF_STR, "", 0, 64, CONF_RELOAD, NULL,
      "of the seller, on invoices" },
    { AT(state_dir), CONF_PATH, "/var/lib/maasgate", 1, 4000, 0, NULL,
      "directory of the ledger and its lock" },
    { AT(stream_buffer_max), CONF_BYTES, "256K", 16 * KB, 64 * MB, CONF_RELOAD, NULL,
      "bytes queued for one slow client before its backend is held back" },
    { AT(stream_checkpoint_ms), CONF_MSEC, "5s", 0, HOUR, CONF_RELOAD, NULL,
      "how often the ledger is told how far a stream has come, to bill it by that should the daemon "
      "die; 0 never" },
    { AT(stream_hold_tokens), CONF_COUNT, "0", 0, 1000000, CONF_RELOAD, NULL,
      "output tokens whose price a stream holds at once, again and again while it runs; 0 holds all that "
      "max_tokens allows at its start" },
    { AT(stream_keepalive_ms), CONF_MSEC, "15s", SECOND, HOUR, CONF_RELOAD, NULL,
      "silence in a stream after which a frame without content is sent" },
    { AT(stream_stall_ms), CONF_MSEC, "60s", SECOND, HOUR, CONF_RELOAD, NULL,
      "time for a client to take some of what is queued for it" },
    { AT(stream_writes), CONF_ENUM, "direct", 0, 0, CONF_RELOAD, "direct|library",
      "who writes a stream's events to its socket: the gateway itself, or the HTTP library, which"
      " with thousands of streams takes several times the CPU" },
    { AT(tax_basis_points), CONF_COUNT, "0", 0, 10000, CONF_RELOAD, NULL,
      "tax on invoices in hundredths of a percent: 1900 is 19 %" },
    { .key = NULL }
};
/* clang-format on */
