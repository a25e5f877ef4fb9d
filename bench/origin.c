/* bench/origin.c -- the model server of the benchmark: HTTP/1.1 over epoll on one thread.
 *
 *   bench_origin --answer FILE --stream FILE [--delay-ms N] [--port N]
 *
 * It does as little as can be done, so that what is in front of it is measured: a POST whose
 * body asks for a stream gets the events of one file, one write each, N ms apart; any other
 * POST gets the other file as JSON; everything else an empty object.  The first line it
 * prints is its port.  It knows the requests of bench/load.c, nginx and libcurl: a head that
 * ends, a Content-Length and no pipelining.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 16384, FILE_MAX = 1 << 20, EVENTS_MAX = 4096, TICK_NS = 1000000 };

struct piece {
    const char *at;
    size_t len;
};

struct conn {
    struct conn *prev, *next; /* in the list of streams */
    int fd;
    bool streaming;
    unsigned event;
    int64_t due_ns;
    size_t len;
    char request[REQUEST_MAX + 1];
};

static struct conn streams = { .prev = &streams, .next = &streams };
static struct piece answer, empty, events[EVENTS_MAX];
static unsigned event_count;
static int64_t delay_ns = 50 * INT64_C(1000000);
static int epoll_fd;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_origin: %s%s%s\n", what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(2);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- what it says ---- */

static struct piece read_file(const char *path)
{
    struct piece p = { .at = NULL };
    char *room = malloc(FILE_MAX);
    FILE *f = fopen(path, "r");
    if (!f || !room)
        fail(path);
    p.len = fread(room, 1, FILE_MAX, f);
    p.at = room;
    fclose(f);
    return p;
}

static struct piece with_head(struct piece body)
{
    char *all = malloc(body.len + 256);
    if (!all)
        fail("no memory");
    int n = snprintf(all, 256,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     body.len);
    memcpy(all + n, body.at, body.len);
    return (struct piece){ all, (size_t)n + body.len };
}

static struct piece as_chunk(const char *at, size_t len)
{
    char *all = malloc(len + 32);
    if (!all)
        fail("no memory");
    int n = snprintf(all, 32, "%zx\r\n", len);
    memcpy(all + n, at, len);
    memcpy(all + n + len, "\r\n", 2);
    return (struct piece){ all, (size_t)n + len + 2 };
}

/* Each event ends with an empty line; the last piece is the end of the chunked body. */
static void cut_events(struct piece file)
{
    const char *at = file.at, *end = file.at + file.len;
    for (const char *stop; event_count + 1 < EVENTS_MAX; at = stop + 2) {
        stop = memmem(at, (size_t)(end - at), "\n\n", 2);
        if (!stop)
            break;
        events[event_count++] = as_chunk(at, (size_t)(stop + 2 - at));
    }
    if (event_count == 0)
        fail("the file of --stream holds no event");
    events[event_count++] = (struct piece){ "0\r\n\r\n", 5 };
}

/* ---- connections ---- */

static void unlist(struct conn *c)
{
    if (!c->streaming)
        return;
    c->prev->next = c->next;
    c->next->prev = c->prev;
    c->streaming = false;
}

static void close_conn(struct conn *c)
{
    unlist(c);
    close(c->fd);
    free(c);
}

/* False: the connection is gone.  Answers are small, so a short write is a reader that died. */
static bool say(struct conn *c, struct piece p)
{
    if (send(c->fd, p.at, p.len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)p.len)
        return true;
    close_conn(c);
    return false;
}

static void stream_start(struct conn *c)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    c->streaming = true;
    c->event = 0;
    c->due_ns = now_ns() + delay_ns;
    c->prev = streams.prev;
    c->next = &streams;
    c->prev->next = c->next->prev = c;
    say(c, (struct piece){ head, sizeof head - 1 });
}

/* Usage and [DONE] follow the last token at once, as a model server sends them. */
static void stream_step(struct conn *c)
{
    do
        if (!say(c, events[c->event++]))
            return;
    while (c->event + 3 >= event_count && c->event < event_count);
    c->due_ns += delay_ns;
    if (c->event == event_count)
        unlist(c);
}

static void tick(void)
{
    int64_t now = now_ns();
    for (struct conn *c = streams.next, *next; c != &streams; c = next) {
        next = c->next;
        if (c->due_ns <= now)
            stream_step(c);
    }
}

static bool asks_for_stream(const char *body)
{
    return strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true");
}

/* 0: there is more to come. */
static size_t request_length(const struct conn *c, const char **ret_body)
{
    const char *end = strstr(c->request, "\r\n\r\n");
    const char *length = strcasestr(c->request, "\r\ncontent-length:");
    if (!end)
        return 0;
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    size_t whole = (size_t)(end + 4 - c->request) + body;
    *ret_body = end + 4;
    return c->len >= whole ? whole : 0;
}

static void readable(struct conn *c)
{
    const char *body = NULL;
    ssize_t n = recv(c->fd, c->request + c->len, REQUEST_MAX - c->len, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close_conn(c);
        return;
    }
    c->len += (size_t)n;
    c->request[c->len] = '\0';
    if (request_length(c, &body) == 0)
        return;
    c->len = 0;
    if (c->request[0] != 'P')
        say(c, empty);
    else if (asks_for_stream(body))
        stream_start(c);
    else
        say(c, answer);
}

static void accept_all(int listen_fd)
{
    int on = 1;
    for (int fd; (fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        struct conn *c = malloc(sizeof *c);
        if (!c)
            fail("no memory");
        c->fd = fd;
        c->streaming = false;
        c->len = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) != 0)
            fail("epoll_ctl");
    }
}

/* ---- life ---- */

static int listen_on(uint16_t port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons(port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&addr, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) != 0)
        fail("listen");
    printf("%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

static int tick_fd(void)
{
    const struct itimerspec every = { .it_interval = { 0, TICK_NS }, .it_value = { 0, TICK_NS } };
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (fd < 0 || timerfd_settime(fd, 0, &every, NULL) != 0)
        fail("timerfd");
    return fd;
}

static uint16_t read_options(int argc, char **argv)
{
    uint16_t port = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--answer") == 0)
            answer = with_head(read_file(argv[i + 1]));
        else if (strcmp(argv[i], "--stream") == 0)
            cut_events(read_file(argv[i + 1]));
        else if (strcmp(argv[i], "--delay-ms") == 0)
            delay_ns = strtol(argv[i + 1], NULL, 10) * INT64_C(1000000);
        else if (strcmp(argv[i], "--port") == 0)
            port = (uint16_t)strtoul(argv[i + 1], NULL, 10);
        else
            fail("unknown option; bench/origin.c says which there are");
    }
    if (!answer.at || event_count == 0)
        fail("--answer and --stream are needed");
    return port;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    uint16_t port = read_options(argc, argv);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    empty = with_head((struct piece){ "{}", 2 });
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listen_fd = listen_on(port), timer_fd = tick_fd();
    struct epoll_event door = { .events = EPOLLIN, .data.ptr = NULL };
    struct epoll_event clock = { .events = EPOLLIN, .data.ptr = &streams };
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &door) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &clock) != 0)
        fail("epoll");
    for (;;) {
        struct epoll_event ready[256];
        uint64_t ticks;
        bool ticked = false;
        int n = epoll_wait(epoll_fd, ready, 256, -1);
        for (int i = 0; i < n; i++)
            if (!ready[i].data.ptr)
                accept_all(listen_fd);
            else if (ready[i].data.ptr != &streams)
                readable(ready[i].data.ptr);
            else
                ticked = read(timer_fd, &ticks, sizeof ticks) > 0;
        if (ticked) /* after the others, because it may close a connection that is among them */
            tick();
    }
}
