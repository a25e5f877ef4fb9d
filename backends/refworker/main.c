/* backends/refworker/main.c -- maasgate-refworker: toy models behind the worker protocol.
 *
 * Start-up: command line, models, listeners, one line "ready", then the loop
 * until SIGTERM or SIGINT. */
#include "backends/refworker/options.h"
#include "backends/refworker/service.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct maas_worker *worker; /* for the signal handler alone */

static void on_signal(int number)
{
    (void)number;
    maas_worker_stop(worker);
}

static void catch_signals(void)
{
    struct sigaction stop = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
}

static int complain(const char *why)
{
    fprintf(stderr, "maasgate-refworker: %s\n", why);
    return EXIT_FAILURE;
}

enum { INFLIGHT_MAX = 4096 }; /* as many as the protocol has slots: a waiting job is small */

static bool prepare(struct service *s, const struct options *o, char err[static 512])
{
    s->token_delay_ms = o->token_delay_ms;
    for (unsigned i = 0; i < o->corpus_count; i++)
        if (!models_load(&s->models, o->corpus[i], err))
            return false;
    if (o->prefix_cache && !(s->prefix = calloc(1, sizeof *s->prefix))) {
        snprintf(err, 512, "no memory for the prefix cache");
        return false;
    }
    return true;
}

static bool listen_all(struct service *s, const struct options *o, char err[static 512])
{
    const struct maas_options options = { .listen = o->listen[0],
                                          .name = o->name,
                                          .max_inflight = INFLIGHT_MAX };
    worker = maas_worker_new(&options, &service_handler, s, err);
    if (!worker)
        return false;
    jobs_init(&s->jobs, worker);
    for (unsigned i = 1; i < o->listen_count; i++)
        if (maas_worker_listen(worker, o->listen[i], err) != MAAS_OK)
            return false;
    return true;
}

static void announce(const struct service *s, const struct options *o)
{
    char names[1024];
    service_names(s, names, sizeof names);
    if (o->print_port)
        printf("%d\n", maas_worker_port(worker));
    printf("ready %s; toy models without weights, for first contact, tests and benchmarks: %s\n",
           o->name, names);
    fflush(stdout);
}

static int serve(struct service *s, const struct options *o)
{
    char err[512] = "";
    if (!prepare(s, o, err) || !listen_all(s, o, err))
        return complain(err);
    catch_signals();
    announce(s, o);
    if (maas_worker_run(worker) != MAAS_OK)
        return complain("the event loop failed");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct options options;
    struct service service = { 0 };
    char err[256];
    if (!options_read(argc, argv, &options, err))
        return complain(err);
    if (options.help) {
        options_print_help();
        return EXIT_SUCCESS;
    }
    int code = serve(&service, &options);
    if (worker)
        maas_worker_free(worker);
    jobs_clear(&service.jobs);
    models_free(&service.models);
    free(service.prefix);
    return code;
}
