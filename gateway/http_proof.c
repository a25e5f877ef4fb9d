/* gateway/http_proof.c -- does the HTTP library behave as gateway/direct.c needs it to?
 *
 * No manual promises it, and a library of the system may be another one tomorrow.  So at
 * each start a stream is served to ourselves: while the library waits, a chunk is put
 * between its own.  The bytes must be those of one chunked body, followed by the answer to
 * a request that was sent together with the first and must not be touched before. */
#include "gateway/http.h"
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RUNS_MAX = 32, GOT_BYTES_MAX = 4096 };

static const char requests[] =
    "GET / HTTP/1.1\r\nHost: proof\r\n\r\nGET / HTTP/1.1\r\nHost: proof\r\n\r\n";
static const char ours[] = "1\r\nb\r\n";

struct proof {
    struct MHD_Daemon *http;
    struct MHD_Connection *connection;
    int server, client;
    bool waits, over;
    size_t len;
    char got[GOT_BYTES_MAX + 1];
};

/* "a", then the wait, then "c": by the place in the body, where ours must not be counted. */
static ssize_t on_more(void *cls, uint64_t at, char *room, size_t room_len)
{
    struct proof *p = cls;
    if (room_len < 1 || at > 1)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (at == 1 && !p->waits && !p->over) {
        p->waits = true;
        MHD_suspend_connection(p->connection);
        return 0;
    }
    *room = at == 0 ? 'a' : 'c';
    return 1;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_len, void **context)
{
    struct proof *p = cls;
    (void)url, (void)method, (void)version, (void)upload, (void)upload_len;
    p->connection = c;
    if (!*context) { /* an answer in the first call would close the connection */
        *context = p;
        return MHD_YES;
    }
    struct MHD_Response *m =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 64, on_more, p, NULL);
    enum MHD_Result r = m ? MHD_queue_response(c, MHD_HTTP_OK, m) : MHD_NO;
    MHD_destroy_response(m);
    return r;
}

/* More often than it takes to do all that can be done now. */
static void run(struct proof *p)
{
    for (int i = 0; i < RUNS_MAX; i++)
        MHD_run(p->http);
    ssize_t n;
    while ((n = recv(p->client, p->got + p->len, GOT_BYTES_MAX - p->len, MSG_DONTWAIT)) > 0)
        p->len += (size_t)n;
    p->got[p->len] = '\0';
}

static bool ends_with(const struct proof *p, const char *text)
{
    size_t len = strlen(text);
    return p->len >= len && memcmp(p->got + p->len - len, text, len) == 0;
}

static bool open_both(struct proof *p)
{
    static const struct sockaddr addr = { .sa_family = AF_UNIX };
    int pair[2];
    p->http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TURBO | MHD_ALLOW_SUSPEND_RESUME |
                                   MHD_USE_NO_LISTEN_SOCKET | MHD_USE_NO_THREAD_SAFETY,
                               0, NULL, NULL, on_request, p, MHD_OPTION_END);
    if (!p->http || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    p->server = pair[0];
    p->client = pair[1];
    return MHD_add_connection(p->http, p->server, &addr, sizeof addr) == MHD_YES &&
           send(p->client, requests, sizeof requests - 1, MSG_NOSIGNAL) == sizeof requests - 1;
}

static bool converse(struct proof *p)
{
    run(p);
    if (!p->waits || !ends_with(p, "\r\n\r\n1\r\na\r\n"))
        return false;
    size_t before = p->len;
    run(p);
    if (p->len != before ||
        send(p->server, ours, sizeof ours - 1, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof ours - 1)
        return false;
    run(p);
    if (!ends_with(p, "1\r\na\r\n1\r\nb\r\n"))
        return false;
    p->waits = false;
    p->over = true;
    MHD_resume_connection(p->connection);
    run(p);
    return strstr(p->got, "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\nHTTP/1.1 200") &&
           ends_with(p, "\r\n\r\n1\r\na\r\n1\r\nc\r\n0\r\n\r\n");
}

bool http_proof(void)
{
    struct proof p = { .server = -1, .client = -1 };
    bool ok = open_both(&p) && converse(&p);
    if (p.waits) { /* the library does not stop while one waits */
        p.waits = false;
        p.over = true;
        MHD_resume_connection(p.connection);
        run(&p);
    }
    if (p.http)
        MHD_stop_daemon(p.http); /* and closes its end */
    if (p.client >= 0)
        close(p.client);
    return ok;
}
