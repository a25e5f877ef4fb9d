/* gateway/main.c -- maasgated: from the command line to the loop and back. */
#include "base/cleanup.h"
#include "base/log.h"
#include "conf/price_lint.h"
#include "gateway/control.h"
#include "gateway/daemon.h"
#include "gateway/help.h"
#include "gateway/offline.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define DEFAULT_CONF "/etc/maasgate/maasgate.yaml"

enum { REPORT_LINES_MAX = 100 };

enum action {
    SERVE,
    CHECK,
    PRINT_CONFIG,
    HELP_CONFIG,
    HELP_ERRORS,
    HELP,
    SHOW_VERSION,
    RESTORE,
    AUDIT,
    ISSUED, /* an option of RESTORE */
};

static const struct option options[] = { { "config", required_argument, NULL, 'c' },
                                         { "check", optional_argument, NULL, CHECK },
                                         { "print-config", no_argument, NULL, PRINT_CONFIG },
                                         { "help-config", no_argument, NULL, HELP_CONFIG },
                                         { "help-errors", no_argument, NULL, HELP_ERRORS },
                                         { "restore", required_argument, NULL, RESTORE },
                                         { "issued", required_argument, NULL, ISSUED },
                                         { "audit", required_argument, NULL, AUDIT },
                                         { "markdown", no_argument, NULL, 'm' },
                                         { "help", no_argument, NULL, 'h' },
                                         { "version", no_argument, NULL, 'V' },
                                         { NULL, 0, NULL, 0 } };

struct command {
    enum action action;
    const char *conf;
    bool markdown, bad;
    struct offline_restore restore;
    const char *audited;
};

static void take_issued(struct command *c, const char *word)
{
    if (c->restore.issued_count == OFFLINE_ISSUED_MAX)
        c->bad = true;
    else
        c->restore.issued[c->restore.issued_count++] = word;
}

static struct command parse(int argc, char **argv)
{
    struct command c = { .action = SERVE, .conf = DEFAULT_CONF };
    for (int o; (o = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            c.conf = optarg;
            break;
        case 'm':
            c.markdown = true;
            break;
        case 'h':
            c.action = HELP;
            break;
        case 'V':
            c.action = SHOW_VERSION;
            break;
        case '?':
            c.bad = true;
            break;
        case RESTORE:
            c.action = RESTORE;
            c.restore.file = optarg;
            break;
        case ISSUED:
            take_issued(&c, optarg);
            break;
        case AUDIT:
            c.action = AUDIT;
            c.audited = optarg;
            break;
        default:
            c.action = (enum action)o;
            if (optarg)
                c.conf = optarg;
        }
    }
    if (optind < argc && (c.action == CHECK || c.action == PRINT_CONFIG))
        c.conf = argv[optind++]; /* `--check FILE` reads better than `--check=FILE` */
    c.bad = c.bad || optind < argc || (c.restore.issued_count && c.action != RESTORE);
    return c;
}

/* What is right and may still not be what was meant. */
static void print_report(const struct catalog *c)
{
    AUTO(buf_free) struct buf text;
    buf_init(&text, 1 << 20);
    if (prices_report(c, REPORT_LINES_MAX, &text) && text.len)
        printf("prices:\n%s", text.at);
}

static int check(const char *path, bool print)
{
    struct conf *conf = NULL;
    char err[CONF_ERROR_BYTES];
    if (conf_load(path, &conf, err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    if (print)
        conf_print(conf, stdout);
    else {
        printf("%s: ok, %zu models, %zu backends\n", path, conf->catalog->model_count,
               conf->catalog->backend_count);
        print_report(conf->catalog);
    }
    conf_free(conf);
    return 0;
}

/* A peer's reset must not kill us, a crash must not spill keys into a core file,
 * and the default soft limit of descriptors is far below what a gateway holds. */
static void prepare_process(void)
{
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    control_hold_hangup(true);
    prctl(PR_SET_DUMPABLE, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int serve(const char *conf_path)
{
    static struct daemon d;
    char err[DAEMON_ERROR_BYTES];
    uv_loop_t loop;
    prepare_process();
    if (uv_loop_init(&loop) != 0)
        return 1;
    d.env = &env_system;
    d.main_loop = &loop;
    enum status s = daemon_open(&d, conf_path, err);
    if (s == STATUS_OK) {
        log_start();
        control_run(&d);
        daemon_close(&d);
        log_info("stopped");
        log_stop();
    } else {
        log_env("not_started reason: %s", err);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&loop);
    return s == STATUS_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct command c = parse(argc, argv);
    if (c.bad) {
        fprintf(stderr, "maasgated: see maasgated --help\n");
        return 2;
    }
    switch (c.action) {
    case CHECK:
        return check(c.conf, false);
    case PRINT_CONFIG:
        return check(c.conf, true);
    case RESTORE:
        return offline_restore(c.conf, &c.restore);
    case AUDIT:
        return offline_audit(c.audited);
    case HELP_CONFIG:
        conf_help(stdout, c.markdown);
        return 0;
    case HELP_ERRORS:
        help_errors(stdout, c.markdown);
        return 0;
    case HELP:
        help_usage(stdout);
        return 0;
    case SHOW_VERSION:
        help_version(stdout);
        return 0;
    default:
        return serve(c.conf);
    }
}
