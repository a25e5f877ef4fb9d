/* cli/client.c -- asks the daemon: connect, one line there, one line back. */
#include "cli/cli.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

enum { ANSWER_BYTES_MAX = 256 * 1024 * 1024, WAIT_SECONDS = 3600 };

/* -1: the reason is on stderr. */
static int dial(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if (len >= sizeof address.sun_path) {
        fprintf(stderr, "maasgate: the socket path %s is longer than a socket path can be\n", path);
        return -1;
    }
    memcpy(address.sun_path, path, len + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = { .tv_sec = WAIT_SECONDS };
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    fprintf(stderr, "maasgate: cannot reach the daemon at %s: %s (--socket or $MAASGATE_ADMIN)\n",
            path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        bytes += sent;
        len -= (size_t)sent;
    }
    return true;
}

/* Up to and without the newline. */
static bool receive_line(int fd, struct buf *line)
{
    char part[16384];
    for (;;) {
        ssize_t got = recv(fd, part, sizeof part, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        char *end = memchr(part, '\n', (size_t)got);
        if (!buf_add(line, part, end ? (size_t)(end - part) : (size_t)got))
            return false;
        if (end)
            return true;
    }
}

static char *request_line(const char *command, json_t *args)
{
    AUTO(json_decref_ptr)
    json_t *request = json_pack("{s:s, s:O}", "command", command, "args", args);
    AUTO(free_ptr) char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    struct buf line;
    buf_init(&line, ANSWER_BYTES_MAX);
    if (!text || !buf_text(&line, text) || !buf_text(&line, "\n")) {
        buf_free(&line);
        return NULL;
    }
    return buf_take(&line, NULL);
}

/* A line of the daemon's own: it says ok, or why not. */
static enum exit_code read_answer(const struct buf *line, json_t **ret_result)
{
    AUTO(json_decref_ptr) json_t *answer = json_loadb(line->at ? line->at : "", line->len, 0, NULL);
    json_t *result = json_object_get(answer, "result");
    if (json_is_true(json_object_get(answer, "ok")) && json_is_object(result)) {
        *ret_result = json_incref(result);
        return EXIT_OK;
    }
    json_t *error = json_object_get(answer, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *field = json_string_value(json_object_get(error, "field"));
    fprintf(stderr, "maasgate: %s%s%s\n", field ? field : "", field ? ": " : "",
            message ? message : "the answer is not one of a maasgate daemon");
    return EXIT_REFUSED;
}

enum exit_code ask(const struct session *s, const char *command, json_t *args, json_t **ret_result)
{
    AUTO(free_ptr) char *request = request_line(command, args);
    if (!request) {
        fprintf(stderr, "maasgate: an argument is not UTF-8 text\n");
        return EXIT_USAGE;
    }
    AUTO(close_ptr) int fd = dial(s->socket_path);
    if (fd < 0)
        return EXIT_UNREACHABLE;
    AUTO(buf_free) struct buf line;
    buf_init(&line, ANSWER_BYTES_MAX);
    /* A daemon that turns us away answers without reading, so a failed send is not the last word. */
    bool sent = send_all(fd, request, strlen(request));
    if (!receive_line(fd, &line)) {
        fprintf(stderr, "maasgate: the daemon at %s ended the connection%s\n", s->socket_path,
                sent ? " without an answer" : "");
        return EXIT_UNREACHABLE;
    }
    return read_answer(&line, ret_result);
}
