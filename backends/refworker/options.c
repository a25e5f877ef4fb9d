/* backends/refworker/options.c -- reading the command line. */
#include "backends/refworker/options.h"
#include "backends/refworker/chat_order.h"
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef MAAS_DATADIR
#define MAAS_DATADIR "/usr/local/share/maasgate"
#endif

static const char help_text[] =
    "usage: maasgate-refworker --listen ADDRESS [options]\n"
    "\n"
    "The reference worker of maasgate: toy models for first contact, tests and\n"
    "benchmarks.  It has no weights and knows nothing.\n"
    "\n"
    "  --listen ADDRESS     shm:/path, unix:/path or tcp:HOST:PORT (port 0: any free\n"
    "                       one); may be given several times\n"
    "  --corpus PATH        a text file, or a directory with *.txt; NAME.txt becomes\n"
    "                       the model ngram-NAME; may be given several times\n"
    "                       (default: " MAAS_DATADIR "/corpus)\n"
    "  --token-delay-ms N   pause between two tokens, 0..60000 (default: 0)\n"
    "  --prefix-cache       report beginnings of conversations seen before as cached\n"
    "  --name NAME          shown in the gateway's status (default: refworker)\n"
    "  --print-port         the first line printed is the port of the tcp listener\n"
    "  --help               this text\n";

static const struct option long_options[] = {
    { "listen", required_argument, NULL, 'l' },
    { "corpus", required_argument, NULL, 'c' },
    { "token-delay-ms", required_argument, NULL, 'd' },
    { "prefix-cache", no_argument, NULL, 'x' },
    { "name", required_argument, NULL, 'n' },
    { "print-port", no_argument, NULL, 'p' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static bool add(const char **list, unsigned max, unsigned *count, const char *what,
                char err[static 256])
{
    if (*count == max) {
        snprintf(err, 256, "--%s may be given %u times at most", what, max);
        return false;
    }
    list[(*count)++] = optarg;
    return true;
}

static bool read_delay(uint32_t *ret, char err[static 256])
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(optarg, &end, 10);
    if (*optarg < '0' || *optarg > '9' || *end || errno || value > CHAT_DELAY_MS_MAX) {
        snprintf(err, 256, "--token-delay-ms wants a number from 0 to %d, not '%.100s'",
                 CHAT_DELAY_MS_MAX, optarg);
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

static bool read_one(int option, char **argv, struct options *o, char err[static 256])
{
    switch (option) {
    case 'l':
        return add(o->listen, OPTION_LISTEN_MAX, &o->listen_count, "listen", err);
    case 'c':
        return add(o->corpus, OPTION_CORPUS_MAX, &o->corpus_count, "corpus", err);
    case 'd':
        return read_delay(&o->token_delay_ms, err);
    case 'x':
        o->prefix_cache = true;
        return true;
    case 'n':
        o->name = optarg;
        return true;
    case 'p':
        o->print_port = true;
        return true;
    case 'h':
        o->help = true;
        return true;
    default:
        snprintf(err, 256, "'%.100s' is not an option, or lacks its value; see --help",
                 argv[optind - 1]);
        return false;
    }
}

bool options_read(int argc, char **argv, struct options *ret, char err[static 256])
{
    *ret = (struct options){ .name = "refworker" };
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;)
        if (!read_one(option, argv, ret, err))
            return false;
    if (optind < argc) {
        snprintf(err, 256, "'%.100s' is not expected; see --help", argv[optind]);
        return false;
    }
    if (ret->listen_count == 0 && !ret->help) {
        snprintf(err, 256, "--listen is missing: where should the gateway find this worker?");
        return false;
    }
    if (ret->corpus_count == 0)
        ret->corpus[ret->corpus_count++] = MAAS_DATADIR "/corpus";
    return true;
}

void options_print_help(void)
{
    fputs(help_text, stdout);
}
