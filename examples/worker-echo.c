/* examples/worker-echo.c -- the smallest engine: it streams the request back, 16 bytes at a time.
 *
 *     cc worker-echo.c -lmaasworker -o worker-echo
 *     ./worker-echo shm:/run/maasgate/echo.sock
 */
#include "maasworker.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { PIECE_BYTES = 16, TOKEN_BYTES = 4 }; /* what a token is, in this engine */

static struct maas_worker *worker;

static void on_request(struct maas_call *call, const struct maas_request *req, void *arg)
{
    struct maas_usage usage = MAAS_USAGE_NONE;
    size_t at = 0, len = req->body_len, most = (size_t)req->max_output_tokens * TOKEN_BYTES;
    bool cut = most && most < len;
    (void)arg;
    len = cut ? most : len;
    usage.input_tokens = (int64_t)req->body_len / TOKEN_BYTES;
    usage.output_tokens = 0;
    while (req->stream && at < len) {
        size_t n = len - at < PIECE_BYTES ? len - at : PIECE_BYTES;
        usage.output_tokens = (int64_t)(at + n) / TOKEN_BYTES;
        int rc = maas_chat_delta(call, req->body + at, n, &usage);
        if (rc == MAAS_AGAIN) /* the rest did not fit; a real engine would go on in on_writable */
            break;
        if (rc != MAAS_OK) {
            maas_call_fail(call, 500, "the echo was cut", &usage);
            return;
        }
        at += n;
    }
    if (!req->stream)
        usage.output_tokens = (int64_t)len / TOKEN_BYTES;
    maas_chat_finish(call, req->body, len, cut ? "length" : "stop", &usage);
}

static void on_signal(int number)
{
    (void)number;
    maas_worker_stop(worker);
}

int main(int argc, char **argv)
{
    struct maas_options options = { .listen = argc > 1 ? argv[1] : "shm:echo.sock",
                                    .name = "echo" };
    struct maas_handler handler = { .on_request = on_request };
    char err[256];
    worker = maas_worker_new(&options, &handler, NULL, err);
    if (!worker) {
        fprintf(stderr, "worker-echo: %s\n", err);
        return 1;
    }
    sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
    sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_signal }, NULL);
    int rc = maas_worker_run(worker);
    maas_worker_free(worker);
    return rc == MAAS_OK ? 0 : 1;
}
