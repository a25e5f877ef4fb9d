/* tests/helpers/http_rig.c -- see http_rig.h. */
#include "tests/helpers/http_rig.h"
#include "base/tls.h"
#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 120000 };

int64_t rig_now_ns;
static int64_t fake_mono(void *arg)
{
    (void)arg;
    return rig_now_ns;
}
static int64_t fake_wall(void *arg)
{
    (void)arg;
    return RIG_WALL_S * 1000000;
}
const struct env rig_env = { .mono_ns = fake_mono, .wall_us = fake_wall };

static void on_guard(uv_timer_t *t)
{
    (void)t;
    ck_abort_msg("nothing happened for %d ms", PATIENCE_MS);
}

static struct span text_of(const char *path)
{
    char *text = NULL;
    size_t room = 0;
    FILE *f = path && *path ? fopen(path, "r") : NULL;
    if (!f)
        return (struct span){ NULL, 0 };
    ssize_t len = getdelim(&text, &room, '\0', f);
    fclose(f);
    return (struct span){ text, len > 0 ? (size_t)len : 0 };
}

/* What conf/tls.c would have made of the files. */
struct tls *rig_tls(const struct catalog_backend *conf)
{
    const struct tls_text text = { text_of(conf->ca_file), text_of(conf->client_cert_file),
                                   text_of(conf->client_key_file) };
    const struct span parts[] = { text.ca, text.cert, text.key };
    char err[TLS_ERROR_BYTES] = "";
    enum tls_part bad;
    struct tls *t = tls_new(&text, &bad, err);
    ck_assert_msg(t != NULL, "%s", err);
    for (size_t i = 0; i < 3; i++)
        free((void *)(uintptr_t)parts[i].at);
    return t;
}

void rig_open_at(struct rig *r, const char *url, const char *path)
{
    snprintf(r->address, sizeof r->address, "%s%s", url, path);
    r->conf.name = "stub";
    r->conf.transport = TRANSPORT_HTTP;
    r->conf.address = r->address;
    if (!r->conf.concurrency)
        r->conf.concurrency = 8;
    if (strncmp(url, "https:", 6) == 0)
        r->conf.tls = rig_tls(&r->conf);
    r->conf.http_version = r->h2 ? HTTP_VERSION_AUTO : HTTP_VERSION_1_1;
    uv_loop_init(&r->loop);
    uv_timer_init(&r->loop, &r->guard);
    uv_timer_start(&r->guard, on_guard, PATIENCE_MS, 0);
    ck_assert_int_eq(backend_http_driver.open(&r->conf, &r->loop, &rig_env, &r->backend),
                     STATUS_OK);
}

void rig_open(struct rig *r, const struct stub_http_answer *answers, size_t count)
{
    r->stub = stub_http_start(answers, count, false);
    rig_open_at(r, stub_http_url(r->stub), "/v1");
}

static void on_closed(void *arg)
{
    struct rig *r = arg;
    r->closed = true;
}

void rig_close(struct rig *r)
{
    backend_http_driver.close(r->backend, on_closed, r);
    ck_assert(!r->closed);
    while (!r->closed)
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&r->guard, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&r->loop), 0); /* no handle was forgotten */
    tls_free(r->conf.tls);
    if (r->stub)
        stub_http_stop(r->stub);
}

void rig_wait_up(struct rig *r)
{
    while (!r->backend->stats.up)
        uv_run(&r->loop, UV_RUN_ONCE);
}

void rig_cancel(struct call *c)
{
    c->rig->inside = true;
    backend_http_driver.cancel(c->call);
    c->rig->inside = false;
}

void rig_pause(struct call *c, bool paused)
{
    c->rig->inside = true;
    backend_http_driver.pause(c->call, paused);
    c->rig->inside = false;
}

static void on_data(void *arg, const struct backend_data *d)
{
    struct call *c = arg;
    ck_assert(!c->rig->inside);
    ck_assert_uint_eq(c->ends, 0);
    size_t used = strlen(c->data);
    snprintf(c->data + used, sizeof c->data - used, "%.*s;", (int)d->len, d->bytes);
    c->bytes += d->len;
    c->pieces++;
    c->usage_events += d->usage_event;
    if (d->format) {
        snprintf(c->type, sizeof c->type, "%s", d->format->content_type);
        c->format = *d->format;
        c->format.content_type = c->type;
    }
    if (d->so_far)
        c->so_far = *d->so_far;
    if (c->pieces == c->cancel_at)
        rig_cancel(c);
    if (c->pieces == c->pause_at)
        rig_pause(c, true);
}

static void on_end(void *arg, const struct backend_end *end)
{
    struct call *c = arg;
    ck_assert(!c->rig->inside);
    c->end = *end;
    c->ends++;
}

static const struct backend_events events = { on_data, on_end };

enum status rig_start(struct rig *r, struct call *c, enum capability cap, bool stream)
{
    struct backend_order order = { .rid = 1,
                                   .capability = cap,
                                   .model = "a model/1",
                                   .public_model = "base/chat",
                                   .stream = stream,
                                   .any_format = r->any_format,
                                   .format = r->format,
                                   .body = r->body.len ? r->body : SPAN("{\"model\":\"m\"}"),
                                   .first_byte_timeout_ms = 60000,
                                   .chunk_timeout_ms = 10000,
                                   .total_timeout_ms = 600000 };
    if (r->hurry_ms)
        order.first_byte_timeout_ms = order.total_timeout_ms = order.client_timeout_ms =
            r->hurry_ms;
    order.hops = r->hops;
    c->rig = r;
    r->inside = true;
    enum status s = backend_http_driver.start(r->backend, &order, &events, c, &c->call);
    r->inside = false;
    return s;
}

void rig_finish(struct call *c)
{
    while (!c->ends)
        uv_run(&c->rig->loop, UV_RUN_ONCE);
    for (int i = 0; i < 3; i++)
        uv_run(&c->rig->loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(c->ends, 1);
}

void rig_chat(struct rig *r, struct call *c, bool stream)
{
    *c = (struct call){ 0 };
    ck_assert_int_eq(rig_start(r, c, CAP_CHAT, stream), STATUS_OK);
    rig_finish(c);
}

static void on_spun(uv_timer_t *t)
{
    (void)t;
}

void rig_spin(struct rig *r, uint64_t ms)
{
    uv_timer_t wait;
    uv_timer_init(&r->loop, &wait);
    uv_timer_start(&wait, on_spun, ms, 0);
    while (uv_is_active((uv_handle_t *)&wait))
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&wait, NULL);
    uv_run(&r->loop, UV_RUN_NOWAIT);
}
