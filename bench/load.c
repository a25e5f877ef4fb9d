/* bench/load.c -- the client of the benchmark: HTTP/1.1 over epoll on one thread.
 *
 *   bench_load MODE --port N [--connections N] [--seconds S] [--warmup S] [--rate N]
 *              [--path P] [--body FILE] [--key K] [--cpu PID[,PID..]]
 *
 *   request   closed loop: every connection sends its next request when it has an answer
 *   rate      open loop: --rate requests a second, the latency counted from the moment a
 *             request was due, so that a server that stalls cannot hide it
 *   stream    --connections server-sent event streams, each begun again when it ends
 *   idle      --connections keep-alive connections, each used once; held until SIGTERM
 *
 * After the warm-up it reads the CPU time of the processes of --cpu, and again at the end,
 * so that what it prints covers the same moments as the requests it counts.  It prints one
 * line of name=value; exit code 1 when an answer was not 2xx.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 4096, REQUEST_MAX = 65536, PIDS_MAX = 8, PORTS_EACH = 20000, OPENING_MAX = 256 };

/* ---- latencies: buckets of 1/64 of their value, nanoseconds ---- */

enum { FINE = 64, BUCKETS = 64 * FINE };

struct histogram {
    uint64_t count[BUCKETS], total;
};

static void record(struct histogram *h, int64_t ns)
{
    uint64_t v = ns < FINE ? FINE : (uint64_t)ns;
    int shift = 63 - __builtin_clzll(v) - 6;
    h->count[(unsigned)shift * FINE + (v >> shift) - FINE]++;
    h->total++;
}

static double percentile_us(const struct histogram *h, double part)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)h->total * part);
    for (unsigned i = 0; i < BUCKETS; i++)
        if ((seen += h->count[i]) > wanted)
            return (double)((uint64_t)(FINE + i % FINE) << (i / FINE)) / 1000;
    return 0;
}

/* ---- what is asked for ---- */

enum mode { REQUEST, RATE, STREAM, IDLE };
static const char *const mode_names[] = { "request", "rate", "stream", "idle" };

static struct {
    enum mode mode;
    unsigned connections;
    double seconds, warmup, rate;
    uint16_t port;
    const char *path, *body_file, *key;
    pid_t pids[PIDS_MAX];
    unsigned pid_count;
    char request[REQUEST_MAX];
    size_t request_len;
} options = { .connections = 64, .seconds = 3, .warmup = 0.5, .path = "/" };

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(2);
}

static void read_pids(char *text)
{
    for (char *p = strtok_r(text, ",", &text); p; p = strtok_r(NULL, ",", &text))
        if (options.pid_count < PIDS_MAX)
            options.pids[options.pid_count++] = (pid_t)strtol(p, NULL, 10);
}

static void read_option(const char *name, char *value)
{
    if (strcmp(name, "--port") == 0)
        options.port = (uint16_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "--connections") == 0)
        options.connections = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "--seconds") == 0)
        options.seconds = strtod(value, NULL);
    else if (strcmp(name, "--warmup") == 0)
        options.warmup = strtod(value, NULL);
    else if (strcmp(name, "--rate") == 0)
        options.rate = strtod(value, NULL);
    else if (strcmp(name, "--path") == 0)
        options.path = value;
    else if (strcmp(name, "--body") == 0)
        options.body_file = value;
    else if (strcmp(name, "--key") == 0)
        options.key = value;
    else if (strcmp(name, "--cpu") == 0)
        read_pids(value);
    else
        fail("unknown option; bench/load.c says which there are");
}

static size_t read_body(char *body, size_t room)
{
    if (!options.body_file)
        return 0;
    FILE *f = fopen(options.body_file, "r");
    if (!f)
        fail(options.body_file);
    size_t len = fread(body, 1, room, f);
    fclose(f);
    return len;
}

static void make_request(void)
{
    static char body[REQUEST_MAX / 2];
    size_t len = read_body(body, sizeof body);
    char *at = options.request;
    int n = snprintf(at, sizeof options.request - len,
                     "%s %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                     "Authorization: Bearer %s\r\nContent-Length: %zu\r\n\r\n",
                     options.body_file ? "POST" : "GET", options.path,
                     options.key ? options.key : "none", len);
    assert(n > 0 && (size_t)n + len < sizeof options.request);
    memcpy(at + n, body, len);
    options.request_len = (size_t)n + len;
}

static void read_options(int argc, char **argv)
{
    int mode = REQUEST;
    while (mode <= IDLE && argc > 1 && strcmp(argv[1], mode_names[mode]) != 0)
        mode++;
    if (argc < 2 || mode > IDLE || argc % 2 != 0)
        fail("usage: bench_load request|rate|stream|idle --port N [--name value ...]");
    options.mode = (enum mode)mode;
    for (int i = 2; i + 1 < argc; i += 2)
        read_option(argv[i], argv[i + 1]);
    if (options.port == 0 || options.connections == 0 || (mode == RATE && options.rate <= 0))
        fail("--port, --connections and, for rate, --rate must be more than 0");
    make_request();
}

/* ---- what is measured ---- */

struct usage {
    int64_t at_ns;
    double user_us, system_us;
    uint64_t rss_kb;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Fields 14, 15 and 24 of /proc/PID/stat: user and system ticks, resident pages. */
static void add_process(struct usage *u, pid_t pid)
{
    char path[64], text[1024] = "";
    unsigned long user, system;
    long pages;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f || !fgets(text, sizeof text, f))
        fail("a process of --cpu has gone");
    fclose(f);
    const char *after_name = strrchr(text, ')');
    if (!after_name || sscanf(after_name + 1,
                              " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d"
                              " %*d %*d %*d %*u %*u %ld",
                              &user, &system, &pages) != 3)
        fail("a process of --cpu cannot be read");
    double tick_us = 1e6 / (double)sysconf(_SC_CLK_TCK);
    u->user_us += (double)user * tick_us;
    u->system_us += (double)system * tick_us;
    u->rss_kb += (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static struct usage usage_now(void)
{
    struct usage u = { .at_ns = now_ns() };
    for (unsigned i = 0; i < options.pid_count; i++)
        add_process(&u, options.pids[i]);
    return u;
}

static struct {
    struct histogram latency, gap;
    uint64_t done, events, bad, broken;
    struct usage began;
    bool counting, stopping;
    unsigned in_flight, open, ready;
} bench;

/* ---- connections ---- */

enum part { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };

struct conn {
    int fd;
    bool waiting; /* for an answer */
    enum part part;
    bool line_break; /* the last byte of the body was one: another ends an event */
    int status;
    int64_t due_ns, last_event_ns;
    uint64_t left; /* of the body or of the chunk */
    size_t head_len;
    char head[HEAD_MAX]; /* also a chunk's size line */
};

static struct conn *conns;
static int epoll_fd, timer_fd;
static int64_t start_ns;
static uint64_t sent;

static void connect_one(struct conn *c, unsigned index)
{
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons(options.port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const struct sockaddr_in from = { .sin_family = AF_INET,
                                      .sin_addr.s_addr =
                                          htonl(INADDR_LOOPBACK + index / PORTS_EACH) };
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        fail("socket");
    if (index >= PORTS_EACH && bind(c->fd, (const struct sockaddr *)&from, sizeof from) != 0)
        fail("bind");
    if (connect(c->fd, (const struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0)
        fail("epoll_ctl");
    bench.open++;
}

static void send_request(struct conn *c, int64_t due_ns)
{
    c->due_ns = due_ns;
    c->last_event_ns = 0;
    c->part = HEAD;
    c->head_len = 0;
    c->waiting = true;
    bench.in_flight++;
    if (send(c->fd, options.request, options.request_len, MSG_NOSIGNAL) !=
        (ssize_t)options.request_len)
        fail("send");
}

static int64_t due_at(uint64_t number)
{
    return start_ns + (int64_t)((double)number * 1e9 / options.rate);
}

/* What an idle connection does next; in an open loop only when a request is due. */
static void go_on(struct conn *c)
{
    if (bench.stopping || options.mode == IDLE)
        return;
    if (options.mode != RATE)
        send_request(c, now_ns());
    else if (due_at(sent) <= now_ns())
        send_request(c, due_at(sent++));
}

static void answer_ended(struct conn *c)
{
    c->waiting = false;
    bench.in_flight--;
    bench.ready++;
    bench.bad += c->status < 200 || c->status > 299;
    if (bench.counting) {
        bench.done++;
        record(&bench.latency, now_ns() - c->due_ns);
    }
    go_on(c);
}

/* A server that closes ends the answer, and the run is not worth much. */
static void closed(struct conn *c)
{
    bench.broken++;
    close(c->fd);
    c->fd = -1;
    if (c->waiting)
        bench.in_flight--;
    c->waiting = false;
    bench.open--;
}

/* ---- answers ---- */

static const char *head_field(const struct conn *c, const char *name)
{
    for (const char *line = strstr(c->head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, strlen(name)) == 0)
            return line + 2 + strlen(name);
    return NULL;
}

static void head_ended(struct conn *c)
{
    const char *length = head_field(c, "content-length:");
    c->status = (int)strtol(c->head + 9, NULL, 10);
    c->left = length ? strtoull(length, NULL, 10) : 0;
    c->part = length ? LENGTH : CHUNK_SIZE;
    c->line_break = false;
    c->head_len = 0;
    if (!length && !head_field(c, "transfer-encoding:"))
        fail("an answer has no length");
    if (c->part == LENGTH && c->left == 0)
        answer_ended(c);
}

/* Takes bytes up to the end of the head, or of a line; 0 < taken. */
static size_t take_text(struct conn *c, const char *at, size_t len, const char *end)
{
    size_t used = 0, end_len = strlen(end);
    while (used < len) {
        if (c->head_len + 1 >= HEAD_MAX)
            fail("an answer's head is too long");
        c->head[c->head_len++] = at[used++];
        c->head[c->head_len] = '\0';
        if (c->head_len >= end_len && strcmp(c->head + c->head_len - end_len, end) == 0) {
            c->head_len += end_len == 4 ? 0 : HEAD_MAX; /* marks the line as whole */
            if (end_len == 4)
                head_ended(c);
            break;
        }
    }
    return used;
}

static bool line_whole(struct conn *c)
{
    if (c->head_len < HEAD_MAX)
        return false;
    c->head_len = 0;
    return true;
}

static void count_events(struct conn *c, const char *at, size_t len)
{
    unsigned n = 0;
    for (size_t i = 0; i < len; i++) {
        n += at[i] == '\n' && c->line_break;
        c->line_break = at[i] == '\n';
    }
    if (n == 0 || !bench.counting)
        return;
    int64_t now = now_ns();
    bench.events += n;
    if (c->last_event_ns)
        record(&bench.gap, now - c->last_event_ns);
    c->last_event_ns = now;
}

static size_t take_body(struct conn *c, const char *at, size_t len)
{
    size_t n = len < c->left ? len : (size_t)c->left;
    if (options.mode == STREAM)
        count_events(c, at, n);
    c->left -= n;
    if (c->left > 0)
        return n;
    if (c->part == LENGTH)
        answer_ended(c);
    else
        c->part = CHUNK_END;
    return n;
}

/* One step of the parser; how many bytes it took. */
static size_t take(struct conn *c, const char *at, size_t len)
{
    size_t n;
    switch (c->part) {
    case HEAD:
        return take_text(c, at, len, "\r\n\r\n");
    case LENGTH:
    case CHUNK_DATA:
        return take_body(c, at, len);
    case CHUNK_SIZE:
        n = take_text(c, at, len, "\n");
        if (line_whole(c)) {
            c->left = strtoull(c->head, NULL, 16);
            c->part = c->left > 0 ? CHUNK_DATA : TRAILER;
        }
        return n;
    default: /* CHUNK_END, TRAILER: an empty line */
        n = take_text(c, at, len, "\n");
        if (line_whole(c)) {
            bool last = c->part == TRAILER;
            c->part = CHUNK_SIZE;
            if (last)
                answer_ended(c);
        }
        return n;
    }
}

static void readable(struct conn *c)
{
    static char room[65536];
    ssize_t n = recv(c->fd, room, sizeof room, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        closed(c);
        return;
    }
    for (size_t at = 0; at < (size_t)n;) {
        if (!c->waiting)
            fail("bytes after the end of an answer");
        at += take(c, room + at, (size_t)n - at);
    }
}

/* ---- the run ---- */

static void turn(void)
{
    struct epoll_event ready[256];
    int n = epoll_wait(epoll_fd, ready, 256, 100);
    for (int i = 0; i < n; i++) {
        struct conn *c = ready[i].data.ptr;
        uint64_t ticks;
        if (c)
            readable(c);
        else if (read(timer_fd, &ticks, sizeof ticks) > 0)
            for (unsigned k = 0; k < options.connections && due_at(sent) <= now_ns(); k++)
                if (!conns[k].waiting && conns[k].fd >= 0)
                    go_on(&conns[k]);
    }
}

static void tick_every(int64_t ns)
{
    const struct itimerspec every = { .it_interval = { 0, ns }, .it_value = { 0, ns } };
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer_fd < 0 || timerfd_settime(timer_fd, 0, &every, NULL) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &e) != 0)
        fail("timerfd");
}

static void run_until(int64_t ns)
{
    while (now_ns() < ns && bench.open > 0)
        turn();
}

/* Streams begin spread over the warm-up: in step they would make one burst per token. */
static void start_all(void)
{
    int64_t spread = options.mode == STREAM ? (int64_t)(options.warmup * 5e8) : 0;
    int64_t from = start_ns = now_ns();
    for (unsigned i = 0; i < options.connections; i++) {
        run_until(from + spread * i / options.connections);
        connect_one(&conns[i], i);
        go_on(&conns[i]);
    }
    if (options.mode == RATE)
        tick_every(50000);
}

static void measure(void)
{
    start_all();
    run_until(start_ns + (int64_t)(options.warmup * 1e9));
    bench.began = usage_now();
    bench.counting = true;
    run_until(bench.began.at_ns + (int64_t)(options.seconds * 1e9));
    bench.counting = false;
    bench.stopping = true;
}

static void print_result(void)
{
    struct usage now = usage_now();
    double seconds = (double)(now.at_ns - bench.began.at_ns) / 1e9;
    double user = now.user_us - bench.began.user_us;
    double system = now.system_us - bench.began.system_us;
    uint64_t units = options.mode == STREAM ? bench.events : bench.done;
    double n = units ? (double)units : 1;
    printf("units=%.0f per_s=%.0f cpu_us=%.2f user_us=%.2f sys_us=%.2f p50_us=%.0f p99_us=%.0f"
           " p999_us=%.0f gap_p50_us=%.0f gap_p99_us=%.0f ended=%.0f bad=%.0f broken=%.0f"
           " rss_kb=%.0f\n",
           (double)units, (double)units / seconds, (user + system) / n, user / n, system / n,
           percentile_us(&bench.latency, 0.5), percentile_us(&bench.latency, 0.99),
           percentile_us(&bench.latency, 0.999), percentile_us(&bench.gap, 0.5),
           percentile_us(&bench.gap, 0.99), (double)bench.done, (double)bench.bad,
           (double)bench.broken, (double)now.rss_kb);
    fflush(stdout);
}

static void hold_idle(void)
{
    sigset_t term;
    int got;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    for (unsigned i = 0; i < options.connections; i++) {
        connect_one(&conns[i], i);
        send_request(&conns[i], now_ns());
        while (bench.in_flight > OPENING_MAX)
            turn();
    }
    while (bench.in_flight > 0)
        turn();
    printf("ready open=%u bad=%.0f rss_kb=%.0f\n", bench.open, (double)bench.bad,
           (double)usage_now().rss_kb);
    fflush(stdout);
    sigwait(&term, &got);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    read_options(argc, argv);
    conns = calloc(options.connections, sizeof *conns);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || epoll_fd < 0)
        fail("no memory");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    errno = 0;
    if (options.mode == IDLE) {
        hold_idle();
        return bench.bad > 0;
    }
    measure();
    print_result();
    return bench.bad > 0 || bench.broken > 0;
}
