/* gateway/control.c -- see control.h. */
#include "gateway/control.h"
#include "base/log.h"
#include "gateway/admin.h"
#include "gateway/http.h"
#include "gateway/listen.h"
#include "gateway/loop.h"
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { DRAIN_POLL_MS = 20, DRAIN_GRACE_MS = 5000, HEALTH_POLL_MS = 500 };

struct control {
    struct daemon *daemon;
    uv_signal_t term, interrupt, hangup;
    uv_timer_t watchdog, draining, health;
    bool healthy;    /* the ledger, when it was last looked at */
    bool behind;     /* the wall clock, and that was told */
    uint64_t *ticks; /* of each loop at the last beat */
    int64_t give_up_ns;
};

static void on_hangup(uv_signal_t *s, int number)
{
    struct control *c = s->data;
    char err[DAEMON_ERROR_BYTES] = "";
    (void)number;
    if (atomic_load(&c->daemon->draining))
        return; /* a loop that has ended takes no new configuration */
    sd_notify(0, "RELOADING=1");
    if (daemon_reload(c->daemon, err) == STATUS_OK)
        log_info("reloaded file=%s", c->daemon->conf_path);
    else
        log_env("reload_refused nothing_changed=yes reason: %s", err);
    sd_notify(0, "READY=1");
}

void control_hold_hangup(bool hold)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    (void)pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &hangup, NULL);
}

/* A loop that stopped turning, or a ledger that cannot write, must not be kept
 * alive by a main thread that can. */
static void on_watchdog(uv_timer_t *t)
{
    struct control *c = t->data;
    bool all_moved = true;
    for (unsigned i = 0; i < c->daemon->loop_count; i++) {
        uint64_t now = atomic_load(&c->daemon->loops[i].ticks);
        all_moved = all_moved && (now != c->ticks[i] || atomic_load(&c->daemon->loops[i].ended));
        c->ticks[i] = now;
    }
    if (all_moved)
        sd_notify(0, "WATCHDOG=1");
}

static void look_at_clock(struct control *c)
{
    int64_t behind_us = ledger_clock_behind_us(c->daemon->ledger);
    bool behind = behind_us > (c->behind ? 0 : LEDGER_CLOCK_ALARM_US);
    if (behind == c->behind)
        return;
    c->behind = behind;
    if (!behind)
        log_info("clock_right_again");
    else
        log_env("clock_went_back behind_ms=%" PRId64 " stamps=go_on invoices=%s", behind_us / 1000,
                behind_us > LEDGER_CLOCK_CLOSE_US ? "refused" : "issued");
}

/* The ledger itself never logs; that it stopped taking requests must be said once. */
static void on_health(uv_timer_t *t)
{
    struct control *c = t->data;
    look_at_clock(c);
    bool healthy = ledger_healthy(c->daemon->ledger);
    if (healthy == c->healthy)
        return;
    c->healthy = healthy;
    if (healthy)
        log_info("ledger_writable_again billable_requests=accepted");
    else
        log_env("ledger_not_writable billable_requests=refused state_dir=%s",
                c->daemon->conf->state_dir);
}

static bool all_ended(const struct daemon *d)
{
    for (unsigned i = 0; i < d->loop_count; i++)
        if (!atomic_load(&d->loops[i].ended))
            return false;
    return true;
}

/* Requests are cut at the deadline; what is left then waits for a store that does
 * not write.  Dying is safe: the next start settles what is open. */
static void on_draining(uv_timer_t *t)
{
    struct control *c = t->data;
    const struct env *env = c->daemon->env;
    if (all_ended(c->daemon)) {
        uv_stop(c->daemon->main_loop);
    } else if (env->mono_ns(env->arg) > c->give_up_ns) {
        log_env("drain_given_up ledger_healthy=%s",
                ledger_healthy(c->daemon->ledger) ? "yes" : "no");
        log_stop();
        _exit(1);
    }
}

static void on_end(uv_signal_t *s, int number)
{
    struct control *c = s->data;
    (void)number;
    if (!atomic_exchange(&c->daemon->draining, true))
        uv_stop(c->daemon->main_loop);
}

static void drain(struct control *c)
{
    struct daemon *d = c->daemon;
    uint64_t allowed_ms = d->conf->drain_timeout_ms;
    log_info("draining at_most_ms=%llu", (unsigned long long)allowed_ms);
    sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
               (unsigned long long)(allowed_ms + 10000) * 1000);
    acceptor_close(d->acceptor);
    d->acceptor = NULL;
    /* These two ask the loops and wait for them: they must not outlive them. */
    metrics_server_close(d->metrics);
    d->metrics = NULL;
    admin_close(d->admin);
    d->admin = NULL;
    int64_t deadline = d->env->mono_ns(d->env->arg) + (int64_t)allowed_ms * 1000000;
    c->give_up_ns = deadline + DRAIN_GRACE_MS * INT64_C(1000000);
    for (unsigned i = 0; i < d->loop_count; i++)
        loop_drain(&d->loops[i], deadline);
    uv_timer_start(&c->draining, on_draining, 0, DRAIN_POLL_MS);
    uv_run(d->main_loop, UV_RUN_DEFAULT);
}

static void watch_signal(struct control *c, uv_signal_t *s, uv_signal_cb cb, int number)
{
    uv_signal_init(c->daemon->main_loop, s);
    s->data = c;
    uv_signal_start(s, cb, number);
}

static void start_watchdog(struct control *c)
{
    uint64_t every_us = 0;
    uv_timer_init(c->daemon->main_loop, &c->watchdog);
    c->watchdog.data = c;
    if (sd_watchdog_enabled(0, &every_us) > 0 && c->ticks)
        uv_timer_start(&c->watchdog, on_watchdog, 0, every_us / 3000);
}

void control_run(struct daemon *d)
{
    struct control c = { .daemon = d, .ticks = calloc(d->loop_count, sizeof *c.ticks) };
    watch_signal(&c, &c.term, on_end, SIGTERM);
    watch_signal(&c, &c.interrupt, on_end, SIGINT);
    watch_signal(&c, &c.hangup, on_hangup, SIGHUP);
    uv_timer_init(d->main_loop, &c.draining);
    c.draining.data = &c;
    uv_timer_init(d->main_loop, &c.health);
    c.health.data = &c;
    c.healthy = true;
    uv_timer_start(&c.health, on_health, HEALTH_POLL_MS, HEALTH_POLL_MS);
    start_watchdog(&c);
    sd_notifyf(0, "READY=1\nSTATUS=serving %u models on %u loops",
               (unsigned)d->conf->catalog->model_count, d->loop_count);
    uint64_t recovered = atomic_load(&ledger_stats(d->ledger)->recovered);
    log_info("ready version=%s models=%zu loops=%u recovered=%" PRIu64, MAAS_VERSION,
             d->conf->catalog->model_count, d->loop_count, recovered);
    control_hold_hangup(false);
    uv_run(d->main_loop, UV_RUN_DEFAULT);
    drain(&c);
    control_hold_hangup(true);
    uv_close((uv_handle_t *)&c.term, NULL);
    uv_close((uv_handle_t *)&c.interrupt, NULL);
    uv_close((uv_handle_t *)&c.hangup, NULL);
    uv_close((uv_handle_t *)&c.watchdog, NULL);
    uv_close((uv_handle_t *)&c.draining, NULL);
    uv_close((uv_handle_t *)&c.health, NULL);
    uv_run(d->main_loop, UV_RUN_DEFAULT);
    free(c.ticks);
}
