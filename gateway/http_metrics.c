/* gateway/http_metrics.c -- /metrics on its own listener, served by a thread of the
 * library's: a scrape never shares a loop with a customer. */
#include "base/buf.h"
#include "gateway/daemon.h"
#include "gateway/http.h"
#include "gateway/metrics.h"
#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_BYTES_MAX = 8 << 20, METRICS_CONNECTIONS = 32, METRICS_TIMEOUT_S = 10 };

struct metrics_server {
    struct MHD_Daemon *http;
    struct daemon *daemon;
};

static enum MHD_Result send_text(struct MHD_Connection *c, unsigned http, const char *type,
                                 char *text, size_t len)
{
    struct MHD_Response *m = MHD_create_response_from_buffer_with_free_callback(len, text, free);
    if (!m) {
        free(text);
        return MHD_NO;
    }
    (void)MHD_add_response_header(m, "content-type", type);
    (void)MHD_add_response_header(m, "cache-control", "no-store");
    enum MHD_Result r = MHD_queue_response(c, http, m);
    MHD_destroy_response(m);
    return r;
}

static enum MHD_Result send_error(struct MHD_Connection *c, unsigned http, const char *json)
{
    char *copy = strdup(json);
    return copy ? send_text(c, http, "application/json", copy, strlen(copy)) : MHD_NO;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    struct metrics_server *m = cls;
    struct buf out;
    size_t len = 0;
    (void)version, (void)upload;
    if (!*context) { /* an answer in the first call would cost the connection */
        *context = m;
        return MHD_YES;
    }
    if (*upload_len > 0)
        return MHD_NO;
    if (strcmp(url, "/metrics") != 0 || (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0))
        return send_error(c, 404,
                          "{\"error\":{\"message\":\"only GET /metrics is here\",\"type\":"
                          "\"invalid_request_error\",\"param\":null,\"code\":"
                          "\"unsupported_endpoint\"}}");
    buf_init(&out, METRICS_BYTES_MAX);
    if (metrics_text(m->daemon, &out) != STATUS_OK) {
        buf_free(&out);
        return MHD_NO;
    }
    char *text = buf_take(&out, &len);
    return send_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", text, len);
}

static bool parse_address(const char *text, struct sockaddr_in *ret)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    unsigned long port = strtoul(colon + 1, &end, 10);
    *ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    return *end == '\0' && end != colon + 1 && port <= UINT16_MAX &&
           inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

enum status metrics_server_open(struct daemon *d, const char *listen, struct metrics_server **ret,
                                char err[static 256])
{
    struct sockaddr_in addr;
    struct metrics_server *m = calloc(1, sizeof *m);
    if (m && parse_address(listen, &addr)) {
        m->daemon = d;
        m->http = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, ntohs(addr.sin_port), NULL, NULL,
                                   on_request, m, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&addr,
                                   MHD_OPTION_CONNECTION_LIMIT, (unsigned)METRICS_CONNECTIONS,
                                   MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)METRICS_TIMEOUT_S,
                                   MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, MHD_OPTION_END);
    }
    if (m && m->http) {
        *ret = m;
        return STATUS_OK;
    }
    free(m);
    snprintf(err, 256, "cannot serve metrics on '%s' (expected a free IPv4 ADDRESS:PORT)", listen);
    return STATUS_BAD_FIELD;
}

void metrics_server_close(struct metrics_server *m)
{
    if (!m)
        return;
    MHD_stop_daemon(m->http);
    free(m);
}
