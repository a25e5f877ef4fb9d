/* gateway/server.c -- libmicrohttpd's callbacks, turned into our events.
 *
 * Each trap this file walks around is in reference/runtime.md 1.2-1.6: an answer
 * in the first call closes the connection, a suspended connection is watched by
 * nobody, the decoded URL hides %00, and the library's time-out is not absolute. */
#include "gateway/http.h"
#include "gateway/direct.h"
#include "gateway/intake.h"
#include "gateway/listen.h"
#include "gateway/loop.h"
#include "gateway/request.h"
#include "gateway/stream.h"
#include <assert.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    HTTP_VERSION_MIN = 0x01000500,   /* before 1.0.5: request smuggling by duplicate headers */
    BODY_PROGRESS_BYTES = 64 * 1024, /* a body must bring that much within body_timeout_ms */
};

enum status http_check_version(char err[static 256])
{
    unsigned major, minor, patch;
    const char *version = MHD_get_version();
    bool read = sscanf(version, "%u.%u.%u", &major, &minor, &patch) == 3;
    if (read && (major << 24 | minor << 16 | patch << 8) >= HTTP_VERSION_MIN)
        return STATUS_OK;
    snprintf(err, 256, "libmicrohttpd %s is too old: at least 1.0.5 is needed", version);
    return STATUS_INTERNAL;
}

const char *http_library_version(void)
{
    return MHD_get_version();
}

/* ---- connections ---- */

static struct conn *conn_of(struct MHD_Connection *m)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(m, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

static void conn_open(struct loop *l, struct MHD_Connection *m, void **context)
{
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(m, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct conn *c = calloc(1, sizeof *c);
    *context = c;
    if (!c) {
        listen_ip_release(l->adopting_ip_slot);
        return;
    }
    c->loop = l;
    c->fd = i->connect_fd;
    c->phase = CONN_PHASES;
    c->ip_slot = l->adopting_ip_slot;
    conn_enter(c, CONN_IDLE);
    struct epoll_event e = { .events = EPOLLRDHUP | EPOLLET, .data.ptr = c };
    (void)epoll_ctl(l->hup_fd, EPOLL_CTL_ADD, c->fd,
                    &e); /* without it a departure is seen late, not never */
}

static void on_connection(void *cls, struct MHD_Connection *m, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct loop *l = cls;
    struct conn *c = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        conn_open(l, m, context);
        return;
    }
    atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
    if (!c)
        return;
    listen_ip_release(c->ip_slot);
    l->lefts -= c->left;
    conn_enter(c, CONN_PHASES);
    free(c);
    *context = NULL;
}

/* ---- requests ---- */

static void *on_target(void *cls, const char *target, struct MHD_Connection *m)
{
    struct loop *l = cls;
    struct conn *c = conn_of(m);
    if (!c)
        return NULL;
    conn_enter(c, CONN_HEADERS);
    c->request = request_new(l, c, target);
    return c->request;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len)
{
    struct request *r = cls;
    (void)kind;
    enum status s = intake_header(r, name, name_len, value ? value : "", value ? value_len : 0);
    if (s != STATUS_OK)
        request_fail(r, s, NULL, NULL);
    return MHD_YES;
}

/* What the library must do next, seen from the state the pipeline stopped in. */
static enum MHD_Result after_resume(struct request *r)
{
    if (r->answer.queued)
        return MHD_YES;
    if (r->state == S_DONE)
        return MHD_NO; /* nothing could be queued: cut */
    if (r->in.body_complete)
        http_suspend(r);
    if (r->in.body_complete && r->conn->left)
        request_gone(r); /* the news came before the request it is about */
    return MHD_YES;
}

static enum MHD_Result on_head(struct request *r, struct MHD_Connection *m, const char *method,
                               const char *version)
{
    r->mhd = m;
    r->in.method = arena_strdup(r->arena, method);
    r->in.version = arena_strdup(r->arena, version);
    if (!r->in.method || !r->in.version)
        return MHD_NO;
    MHD_get_connection_values_n(m, MHD_HEADER_KIND, on_header, r);
    conn_enter(r->conn, CONN_BODY);
    r->in.in_first_call = true;
    request_resume(r);
    r->in.in_first_call = false;
    return after_resume(r);
}

static enum MHD_Result on_piece(struct request *r, const char *bytes, size_t len)
{
    if (r->in.discard)
        return (r->in.discarded += len) > DISCARD_BYTES_MAX ? MHD_NO : MHD_YES;
    size_t before = r->in.body_len / BODY_PROGRESS_BYTES;
    enum status s = intake_body(r, bytes, len);
    if (s != STATUS_OK) { /* no answer is possible in the middle of an upload: read on */
        r->in.discard = true;
        request_fail(r, s, NULL, NULL);
        return MHD_YES;
    }
    if (r->in.body_len / BODY_PROGRESS_BYTES != before)
        conn_enter(r->conn, CONN_BODY);
    return MHD_YES;
}

static enum MHD_Result on_whole(struct request *r)
{
    r->in.body_complete = true;
    conn_enter(r->conn, CONN_BUSY);
    if (r->state != S_DONE)
        request_resume(r);
    return after_resume(r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *m, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    (void)cls, (void)url; /* the decoded URL is never looked at */
    struct request *r = *context;
    if (!r)
        return MHD_NO;
    assert(r->magic == REQUEST_MAGIC);
    if (!r->mhd)
        return on_head(r, m, method, version);
    if (*upload_len > 0) {
        enum MHD_Result result = on_piece(r, upload, *upload_len);
        *upload_len = 0;
        return result;
    }
    return on_whole(r);
}

static void on_completed(void *cls, struct MHD_Connection *m, void **context,
                         enum MHD_RequestTerminationCode why)
{
    (void)cls, (void)m, (void)why;
    struct request *r = *context;
    *context = NULL;
    if (!r)
        return;
    r->conn->request = NULL;
    conn_enter(r->conn, CONN_IDLE);
    request_detach(r);
}

void http_suspend(struct request *r)
{
    MHD_suspend_connection(r->mhd);
    r->answer.suspended = true;
}

void http_resume(struct request *r)
{
    if (!r->answer.suspended)
        return;
    r->answer.suspended = false;
    direct_close(r);
    MHD_resume_connection(r->mhd);
    loop_mark_dirty(r->loop);
}

/* ---- the daemon of one loop ---- */

static size_t leave_target_alone(void *cls, struct MHD_Connection *m, char *text)
{
    (void)cls, (void)m;
    return strlen(text);
}

static void ignore_log(void *cls, const char *fmt, va_list args)
{
    (void)cls, (void)fmt, (void)args; /* a peer must not be able to fill our log */
}

enum status http_open(struct loop *l, char err[static 256])
{
    const struct conf *conf = l->daemon->conf;
    unsigned idle_s = (unsigned)((conf->idle_timeout_ms + 999) / 1000);
    l->http = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET |
            MHD_USE_NO_THREAD_SAFETY | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, l,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, l, MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_UNESCAPE_CALLBACK,
        leave_target_alone, l, MHD_OPTION_CONNECTION_LIMIT, (unsigned)conf->connections_max,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)conf->header_bytes_max,
        MHD_OPTION_CONNECTION_TIMEOUT, idle_s, MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, MHD_OPTION_END);
    if (l->http)
        return STATUS_OK;
    snprintf(err, 256, "the HTTP server of loop %u cannot be started", l->index);
    return STATUS_INTERNAL;
}

void http_close(struct loop *l)
{
    struct MHD_Daemon *d = l->http;
    l->http = NULL;
    MHD_stop_daemon(d);
}

int http_poll_fd(const struct loop *l)
{
    return MHD_get_daemon_info(l->http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

bool http_adopt(struct loop *l, int fd, const struct sockaddr *addr, socklen_t len,
                uint64_t ip_slot)
{
    l->adopting_ip_slot = ip_slot;
    if (MHD_add_connection(l->http, fd, addr, len) == MHD_YES)
        return true;
    listen_ip_release(ip_slot);
    return false;
}

bool http_run(struct loop *l)
{
    uint64_t wait_ms;
    COUNT(&l->counters, http_runs);
    MHD_run(l->http);
    return MHD_get_timeout64(l->http, &wait_ms) == MHD_YES && wait_ms == 0;
}

const char *http_request_header(const struct request *r, const char *name)
{
    return r->mhd ? MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name) : NULL;
}
