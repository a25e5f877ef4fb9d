/* gateway/daemon.c -- opening in order of need, closing in the opposite order. */
#include "gateway/daemon.h"
#include "base/digest.h"
#include "base/log.h"
#include "gateway/admin.h"
#include "gateway/courier.h"
#include "gateway/http.h"
#include "gateway/listen.h"
#include "gateway/loop.h"
#include "gateway/pepper.h"
#include "gateway/pricing.h"
#include "gateway/publish.h"
#include "gateway/reader.h"
#include "gateway/words.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DESCRIPTORS_BESIDE = 256 }; /* the store, backends, the admin socket */
enum { READER_DEADLINE_MS = 5000, LOOPS_MAX = RID_THREADS_MAX };

static enum status open_conf(struct daemon *d, char *err)
{
    enum status s = conf_load(d->conf_path, &d->conf, err);
    if (s != STATUS_OK)
        return s;
    d->generation = generation_new(d->conf, &d->roster);
    if (!d->generation) {
        conf_free(d->conf);
        d->conf = NULL;
        return STATUS_NO_MEMORY;
    }
    enum log_level level;
    if (log_level_find(d->conf->log_level, &level))
        log_set_level(level);
    return STATUS_OK;
}

static void open_routing(struct daemon *d)
{
    uint8_t secret[DIGEST_BYTES];
    roster_init(&d->roster);
    d->env->random(d->env->arg, secret, sizeof secret);
    hmac_key_init(&d->conversations, secret, sizeof secret);
    digest_wipe(secret, sizeof secret);
}

static struct idem_limits idem_limits(const struct conf *c)
{
    return (struct idem_limits){ .keep_us = (int64_t)c->idempotency_keep_ms * 1000,
                                 .answer_keep_us = (int64_t)c->idempotency_answer_keep_ms * 1000,
                                 .answers_bytes_max = (int64_t)c->idempotency_answers_bytes_max };
}

static enum status open_ledger(struct daemon *d, char *err)
{
    const struct ledger_options o = { .dir = d->conf->state_dir,
                                      .currency = d->conf->currency,
                                      .env = d->env,
                                      .idem = idem_limits(d->conf) };
    struct stat st;
    if ((mkdir(o.dir, 0700) != 0 && errno != EEXIST) || stat(o.dir, &st) != 0) {
        snprintf(err, 256, "state_dir %s cannot be made: %s", o.dir, strerror(errno));
        return STATUS_STORE_FAILED;
    }
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        snprintf(err, 256, "state_dir %s: others can write to it: chmod go-w it", o.dir);
        return STATUS_FORBIDDEN;
    }
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%s/ledger.db", o.dir);
    bool is_new = access(file, F_OK) != 0;
    enum status s = ledger_open(&o, &d->ledger, err);
    if (s == STATUS_OK && is_new) /* where one was expected, a disk is not mounted */
        log_info("store_made file=%s", file);
    return s;
}

static enum status open_words(struct daemon *d, char *err)
{
    return words_load(d, err);
}

static enum status open_keys(struct daemon *d, char *err)
{
    uint8_t pepper[PEPPER_BYTES_MAX];
    size_t len = 0;
    bool in_use = false;
    enum status s = publish_has_keys(d, &in_use, err);
    if (s == STATUS_OK)
        s = pepper_read(d->conf, d->env, in_use, pepper, &len, err);
    if (s == STATUS_OK)
        d->keyring = keyring_new(pepper, len);
    digest_wipe(pepper, sizeof pepper);
    if (s != STATUS_OK)
        return s;
    return d->keyring ? publish_keys(d, d->conf, err) : STATUS_NO_MEMORY;
}

static enum status open_prices(struct daemon *d, char *err)
{
    return publish_prepare(d, d->conf, &d->generation->pricing, err);
}

static enum status open_reader(struct daemon *d, char *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/ledger.db", d->conf->state_dir);
    return reader_open(path, READER_DEADLINE_MS, &d->reader, err);
}

static enum status open_courier(struct daemon *d, char *err)
{
    return courier_open(d, &d->courier, err);
}

static unsigned wanted_loops(const struct conf *conf)
{
    uint64_t n = conf->loop_threads ? conf->loop_threads : uv_available_parallelism();
    return n > LOOPS_MAX ? LOOPS_MAX : (unsigned)n;
}

static enum status open_loops(struct daemon *d, char *err)
{
    d->direct = http_proof();
    if (!d->direct)
        log_env("streams_written_by=library reason=\"libmicrohttpd %s does not behave as direct"
                " writes need it\"",
                http_library_version());
    unsigned n = wanted_loops(d->conf);
    d->loops = calloc(n, sizeof *d->loops);
    if (!d->loops)
        return STATUS_NO_MEMORY;
    for (d->loop_count = 0; d->loop_count < n; d->loop_count++) {
        struct loop *l = &d->loops[d->loop_count];
        l->index = d->loop_count;
        l->daemon = d;
        enum status s = loop_start(l, d->generation, err);
        if (s != STATUS_OK)
            return s;
    }
    return STATUS_OK;
}

static enum status open_admin(struct daemon *d, char *err)
{
    return admin_open(d, &d->admin, err);
}

static enum status open_metrics(struct daemon *d, char *err)
{
    if (!*d->conf->metrics_listen)
        return STATUS_OK;
    return metrics_server_open(d, d->conf->metrics_listen, &d->metrics, err);
}

/* Said before it happens: what would fail then are accepts, and connections to backends. */
static void look_at_descriptors(const struct conf *c)
{
    struct rlimit files;
    uint64_t wanted = c->connections_max + DESCRIPTORS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < wanted)
        log_env(
            "few_descriptors limit=%llu connections_max=%llu what_to_do=\"LimitNOFILE=%llu, or a "
            "lower connections_max\"",
            (unsigned long long)files.rlim_cur, (unsigned long long)c->connections_max,
            (unsigned long long)wanted);
}

static enum status open_door(struct daemon *d, char *err)
{
    look_at_descriptors(d->conf);
    return acceptor_open(d, &d->acceptor, err);
}

enum status daemon_open(struct daemon *d, const char *conf_path,
                        char err[static DAEMON_ERROR_BYTES])
{
    static enum status (*const steps[])(struct daemon *, char *) = {
        open_conf,  open_ledger,  open_words, open_keys,    open_prices, open_reader,
        open_loops, open_courier, open_admin, open_metrics, open_door
    };
    d->conf_path = conf_path;
    open_routing(d);
    d->started_us = d->env->wall_us(d->env->arg);
    snprintf(err, DAEMON_ERROR_BYTES, "out of memory");
    enum status s = http_check_version(err);
    for (size_t i = 0; s == STATUS_OK && i < sizeof steps / sizeof *steps; i++)
        s = steps[i](d, err);
    if (s != STATUS_OK) {
        for (unsigned i = 0; i < d->loop_count; i++)
            loop_drain(&d->loops[i], 0);
        daemon_close(d);
        return s;
    }
    atomic_store(&d->ready, true);
    return STATUS_OK;
}

void daemon_close(struct daemon *d)
{
    acceptor_close(d->acceptor);
    d->acceptor = NULL;
    upkeep_stop(&d->upkeep);  /* the admin socket waits for its job */
    courier_stop(d->courier); /* and for its tests */
    if (d->admin)
        admin_close(d->admin);
    d->admin = NULL;
    metrics_server_close(d->metrics);
    d->metrics = NULL;
    for (unsigned i = 0; i < d->loop_count; i++)
        loop_join(&d->loops[i]);
    if (d->reader)
        reader_close(d->reader);
    upkeep_join(&d->upkeep);
    if (d->ledger)
        ledger_close(d->ledger);
    courier_free(d->courier);
    d->courier = NULL;
    keyring_free(d->keyring);
    free(d->loops);
    d->loops = NULL;
    d->loop_count = 0;
    generation_unref(d->generation);
    d->generation = NULL;
}

const struct catalog *daemon_list_at(const struct daemon *d, int64_t us)
{
    return d->generation ? pricing_list_at(d->generation->pricing, us) : d->conf->catalog;
}

const struct catalog *daemon_catalog(const struct daemon *d)
{
    return daemon_list_at(d, d->env->wall_us(d->env->arg));
}

/* Takes the generation. */
static void serve(struct daemon *d, struct generation *g)
{
    for (unsigned i = 0; i < d->loop_count; i++)
        loop_publish(&d->loops[i], g);
    generation_unref(d->generation);
    d->generation = g;
    d->conf = g->conf;
}

static enum status may_reload(const struct daemon *d, const struct conf *next, char *err)
{
    char why[CONF_ERROR_BYTES];
    if (conf_may_reload(d->conf, next, why))
        return STATUS_OK;
    snprintf(err, DAEMON_ERROR_BYTES, "%.150s: %.350s", d->conf_path, why);
    return STATUS_BAD_FIELD;
}

static enum status publish(struct daemon *d, struct conf *next, char *err)
{
    struct generation *g = NULL;
    struct pricing *pricing = NULL;
    enum status s = may_reload(d, next, err);
    if (s == STATUS_OK)
        s = publish_prepare(d, next, &pricing, err);
    if (s == STATUS_OK)
        s = publish_keys(d, next, err);
    if (s == STATUS_OK && !(g = generation_new(next, &d->roster)))
        s = STATUS_NO_MEMORY;
    if (s != STATUS_OK) {
        pricing_free(pricing);
        conf_free(next);
        return s;
    }
    g->pricing = pricing;
    serve(d, g);
    if (courier_configure(d->courier, next->catalog) != STATUS_OK)
        log_env("alerts_not_followed reason=\"the ledger cannot be written\"");
    return STATUS_OK;
}

enum status daemon_reprice(struct daemon *d, char err[static DAEMON_ERROR_BYTES])
{
    struct pricing *pricing = NULL;
    snprintf(err, DAEMON_ERROR_BYTES, "out of memory");
    enum status s = publish_prices(d, d->conf, &pricing, err);
    if (s != STATUS_OK)
        return s;
    struct generation *g = generation_repriced(d->generation);
    if (!g) {
        pricing_free(pricing);
        return STATUS_NO_MEMORY;
    }
    g->pricing = pricing;
    serve(d, g);
    return STATUS_OK;
}

enum status daemon_reload(struct daemon *d, char err[static DAEMON_ERROR_BYTES])
{
    struct conf *next = NULL;
    enum log_level level;
    snprintf(err, DAEMON_ERROR_BYTES, "out of memory");
    enum status s = conf_load(d->conf_path, &next, err);
    if (s == STATUS_OK)
        s = publish(d, next, err);
    if (s == STATUS_OK && log_level_find(d->conf->log_level, &level))
        log_set_level(level);
    return s;
}
