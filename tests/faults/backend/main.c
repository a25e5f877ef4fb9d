/* tests/faults/backend/main.c -- fault-backend: a model server that does what its script says.
 *
 *   fault-backend --listen WHERE... [--script FILE] [--journal FILE]
 *
 * WHERE: http:PORT, shm:PATH, unix:PATH, tcp:PORT (0: any port).  When it serves it prints one line,
 * "ready" and the port of each listener (0 for a path).  SIGHUP reads the script again and writes a
 * journal line "script"; SIGTERM ends it.  tests/faults/README.md is the language of scripts.
 */
#include "tests/faults/backend/play.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { LISTENERS_MAX = 128 };

static uv_loop_t the_loop;
static struct script *script;
static const char *script_path;
static unsigned connections, scripts;

uv_loop_t *loop(void)
{
    return &the_loop;
}

struct script *current_script(void)
{
    return script_ref(script);
}

unsigned next_connection(void)
{
    return ++connections;
}

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "fault-backend: %s: %s\n", what, why);
    exit(2);
}

static void read_script(void)
{
    static char text[1 << 22];
    char err[256] = "";
    size_t len = 0;
    FILE *f = script_path ? fopen(script_path, "r") : NULL;
    if (script_path && !f)
        fail(script_path, "cannot be read");
    if (f) {
        len = fread(text, 1, sizeof text, f);
        fclose(f);
    }
    struct script *fresh = script_new(f ? text : NULL, len, err);
    if (!fresh)
        fail(script_path, err);
    script_unref(script);
    script = fresh;
    snprintf(err, sizeof err, "\"number\":%u", ++scripts);
    journal(NULL, "script", err);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    if (number == SIGHUP)
        read_script();
    else
        uv_stop(&the_loop);
}

static int listen_at(const char *where)
{
    int port = 0;
    const char *rest = strchr(where, ':');
    if (!rest)
        fail(where, "is not http:PORT, shm:PATH, unix:PATH or tcp:PORT");
    int rc = strncmp(where, "http:", 5) == 0 ? http_listen(rest + 1, &port)
                                             : worker_listen(where, &port);
    if (rc != 0)
        fail(where, rc < 0 ? uv_strerror(rc) : "cannot be listened at");
    return port;
}

int main(int argc, char **argv)
{
    static uv_signal_t hup, term;
    int ports[LISTENERS_MAX], count = 0;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* it does not outlive its test */
    sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
    uv_loop_init(&the_loop);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--listen") == 0 && count < LISTENERS_MAX)
            ports[count++] = listen_at(argv[i + 1]);
        else if (strcmp(argv[i], "--script") == 0)
            script_path = argv[i + 1];
        else if (strcmp(argv[i], "--journal") == 0 && !journal_open(argv[i + 1]))
            fail(argv[i + 1], "cannot be written");
        else if (strcmp(argv[i], "--journal") != 0)
            fail(argv[i], "is no option; tests/faults/backend/main.c says which there are");
    }
    if (count == 0 || argc % 2 == 0)
        fail("usage", "fault-backend --listen WHERE... [--script FILE] [--journal FILE]");
    read_script();
    uv_signal_init(&the_loop, &hup);
    uv_signal_init(&the_loop, &term);
    uv_signal_start(&hup, on_signal, SIGHUP);
    uv_signal_start(&term, on_signal, SIGTERM);
    printf("ready");
    for (int i = 0; i < count; i++)
        printf(" %d", ports[i]);
    printf("\n");
    fflush(stdout);
    uv_run(&the_loop, UV_RUN_DEFAULT);
    return 0;
}
