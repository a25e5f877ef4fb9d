/* tests/faults/canaries/main.c -- fault-canaries: clients that leave at random and look for one another's words.
 *
 *   fault-canaries --port N --keys FILE --models NAME,NAME.. [--cancels N] [--connections N] [--seed N]
 *
 * Each request has a word of its own, "canary-TT-" of its tenant and 16 random digits, at both ends
 * of its prompt; its model says that word again and again.  A connection carries requests of all
 * tenants, one after the other and now and then two or three in a row.  More than half of them leave:
 * in the middle of the request, at a random moment, at a random byte of the answer, with FIN or RST;
 * the next request has the connection's place.  Every byte that comes is looked through: a canary
 * that is not the request's own is a leak.  Answers that came whole must have theirs as often as asked.
 *
 * One line of name=value at the end; exit code 1 when anything leaked or a whole answer was not right.
 */
#include "tests/faults/canaries/canaries.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct tally tally;
static struct {
    uint16_t port;
    unsigned connections;
    uint64_t cancels, seed;
    const char *keys_file;
    char *keys[TENANTS_MAX], *models[MODELS_MAX];
    unsigned key_count, model_count;
} options = { .connections = 64, .cancels = 1000, .seed = 1 };

static struct client *clients;
static int epoll_fd;

_Noreturn void fail(const char *what)
{
    fprintf(stderr, "fault-canaries: %s%s%s\n", what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(2);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static uint64_t dice(uint64_t below)
{
    options.seed ^= options.seed << 13;
    options.seed ^= options.seed >> 7;
    options.seed ^= options.seed << 17;
    return (options.seed >> 11) % below;
}

/* ---- a flight: requests in a row on one connection, and how it ends ---- */

static size_t write_request(struct ask *a, char *to, size_t room)
{
    char body[1024];
    unsigned tenant = (unsigned)dice(options.key_count), delay = (unsigned)dice(3);
    const char *model = options.models[dice(options.model_count)];
    uint64_t number = dice(UINT64_C(1) << 48) << 16 | (tally.asked++ & 0xffff);
    char name[48];
    snprintf(name, sizeof name, "canary-%02u-%016llx", tenant, (unsigned long long)number);
    memcpy(a->canary, name, CANARY_BYTES);
    a->stream = dice(3) > 0;
    a->tokens = 1 + (unsigned)dice(40);
    int len = snprintf(body, sizeof body,
                       "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":"
                       "\"%s #tokens=%u #delay=%u %s\"}],\"max_tokens\":64%s}",
                       model, a->canary, a->tokens, delay, a->canary,
                       a->stream ? ",\"stream\":true" : "");
    int n = snprintf(to, room,
                     "POST /v1/chat/completions HTTP/1.1\r\nHost: canaries\r\n"
                     "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                     "Content-Length: %d\r\n\r\n%s",
                     options.keys[tenant], len, body);
    if (n < 0 || (size_t)n >= room)
        fail("a request is too long");
    return (size_t)n;
}

static void plan_end(struct client *c)
{
    c->leave_at_ns = 0;
    c->leave_after_bytes = c->send_bytes = UINT64_MAX;
    switch (dice(8)) {
    case 0: /* in the middle of its last words */
        c->send_bytes = dice(c->out_len);
        c->leave_at_ns = now_ns() + (int64_t)dice(2000000);
        break;
    case 1:
    case 2:
        c->leave_at_ns = now_ns() + (int64_t)dice(8000000);
        break;
    case 3:
    case 4:
        c->leave_after_bytes = 1 + dice(4000);
        break;
    default: /* it stays */
        break;
    }
}

static void watch(struct client *c, unsigned events)
{
    struct epoll_event e = { .events = events, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e) != 0)
        fail("epoll_ctl");
}

static void send_more(struct client *c)
{
    size_t most = c->send_bytes < c->out_len ? (size_t)c->send_bytes : c->out_len;
    while (c->out_done < most) {
        ssize_t n = send(c->fd, c->out + c->out_done, most - c->out_done, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        c->out_done += (size_t)n;
    }
    watch(c, EPOLLIN | (c->out_done < most ? EPOLLOUT : 0u));
}

static void take_off(struct client *c)
{
    unsigned count = dice(6) ? 1 : 2 + (unsigned)dice(ASKS_MAX - 1);
    c->ask_count = c->ask_done = 0;
    c->out_len = c->out_done = 0;
    c->got_bytes = 0;
    while (c->ask_count < count)
        c->out_len += write_request(&c->asks[c->ask_count++], c->out + c->out_len,
                                    sizeof c->out - c->out_len);
    plan_end(c);
    answer_begin(c);
    send_more(c);
}

static void connect_client(struct client *c)
{
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons(options.port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        fail("socket");
    /* Ports in TIME_WAIT are many: any address of loopback will do. */
    const struct sockaddr_in from = { .sin_family = AF_INET,
                                      .sin_addr.s_addr =
                                          htonl(INADDR_LOOPBACK + (uint32_t)dice(200)) };
    if (bind(c->fd, (const struct sockaddr *)&from, sizeof from) != 0 ||
        connect(c->fd, (const struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0)
        fail("epoll_ctl");
    tally.connections++;
}

/* What is there of the answer under way is looked through before it is forgotten. */
static void start_again(struct client *c, bool reset)
{
    answer_look(c);
    if (reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    close(c->fd);
    connect_client(c);
    take_off(c);
}

static void leave(struct client *c)
{
    tally.cancels += c->ask_count - c->ask_done;
    start_again(c, dice(2));
}

/* ---- events ---- */

static void on_input(struct client *c)
{
    static char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        tally.cut += c->ask_count - c->ask_done;
        start_again(c, false);
        return;
    }
    c->got_bytes += (uint64_t)n;
    answer_take(c, bytes, (size_t)n);
    if (c->ask_done == c->ask_count)
        take_off(c);
    else if (c->got_bytes >= c->leave_after_bytes)
        leave(c);
}

static void turn(void)
{
    struct epoll_event ready[256];
    int n = epoll_wait(epoll_fd, ready, 256, 1);
    for (int i = 0; i < n; i++) {
        struct client *c = ready[i].data.ptr;
        if (ready[i].events & EPOLLOUT)
            send_more(c);
        if (ready[i].events & ~(unsigned)EPOLLOUT)
            on_input(c);
    }
    int64_t now = now_ns();
    for (unsigned i = 0; i < options.connections; i++)
        if (clients[i].leave_at_ns && clients[i].leave_at_ns <= now)
            leave(&clients[i]);
}

/* ---- life ---- */

static void read_keys(void)
{
    static char line[512];
    FILE *f = fopen(options.keys_file, "r");
    if (!f)
        fail(options.keys_file);
    while (options.key_count < TENANTS_MAX && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = '\0';
        options.keys[options.key_count++] = strdup(line);
    }
    fclose(f);
}

static void read_models(char *text)
{
    for (char *m; options.model_count < MODELS_MAX && (m = strsep(&text, ","));)
        options.models[options.model_count++] = m;
}

static void read_option(const char *name, char *value)
{
    if (strcmp(name, "--port") == 0)
        options.port = (uint16_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "--keys") == 0)
        options.keys_file = value;
    else if (strcmp(name, "--models") == 0)
        read_models(value);
    else if (strcmp(name, "--cancels") == 0)
        options.cancels = strtoull(value, NULL, 10);
    else if (strcmp(name, "--connections") == 0)
        options.connections = (unsigned)strtoul(value, NULL, 10);
    else if (strcmp(name, "--seed") == 0)
        options.seed = strtoull(value, NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    else
        fail("unknown option; tests/faults/canaries/main.c says which there are");
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2)
        read_option(argv[i], argv[i + 1]);
    if (!options.port || !options.keys_file || !options.model_count || argc % 2 == 0)
        fail("--port, --keys and --models are needed");
    read_keys();
    clients = calloc(options.connections, sizeof *clients);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || epoll_fd < 0)
        fail("no memory");
    int64_t began = now_ns();
    for (unsigned i = 0; i < options.connections; i++) {
        connect_client(&clients[i]);
        take_off(&clients[i]);
    }
    while (tally.cancels < options.cancels && !tally.leaks)
        turn();
    for (unsigned i = 0; i < options.connections; i++) {
        answer_look(&clients[i]);
        close(clients[i].fd);
    }
    printf("asked=%llu cancels=%llu whole=%llu refused=%llu broken=%llu cut=%llu connections=%llu"
           " canaries=%llu leaks=%llu wrong=%llu seconds=%.1f\n",
           tally.asked, tally.cancels, tally.whole, tally.refused, tally.broken, tally.cut,
           tally.connections, tally.canaries, tally.leaks, tally.wrong,
           (double)(now_ns() - began) / 1e9);
    return tally.leaks || tally.wrong;
}
