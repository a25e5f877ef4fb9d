/* cli/main.c -- `maasgate`: find the command, read its options, ask, show. */
#include "base/cleanup.h"
#include "base/version.h"
#include "cli/cli.h"
#include <locale.h>
#include <string.h>

/* So many words of argv as the command begins with; *ret_all: it has no others. */
static int words_shared(const struct command *c, int argc, char **argv, bool *ret_all)
{
    const char *rest = c->words;
    int count = 0;
    for (; count < argc && *rest; count++) {
        size_t len = strcspn(rest, " ");
        if (strlen(argv[count]) != len || memcmp(argv[count], rest, len) != 0)
            break;
        rest += len + (rest[len] == ' ');
    }
    *ret_all = *rest == '\0';
    return count;
}

static const struct command *find_command(int argc, char **argv, int *ret_words)
{
    bool all;
    for (const struct command *c = commands; c->words; c++) {
        *ret_words = words_shared(c, argc, argv, &all);
        if (all)
            return c;
    }
    return NULL;
}

static enum exit_code print_json(json_t *result)
{
    json_dumpf(result, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
    return EXIT_OK;
}

/* An audit with problems exits 1 in JSON, too: scripts look at the code. */
static enum exit_code ask_and_show(const struct command *c, const struct session *s, json_t *args)
{
    if (c->run)
        return c->run(s, args);
    AUTO(json_decref_ptr) json_t *result = NULL;
    enum exit_code code = ask(s, c->ask, args, &result);
    if (code != EXIT_OK)
        return code;
    if (!s->json)
        return c->show(result);
    print_json(result);
    return c->verdict ? c->verdict(result) : EXIT_OK;
}

static enum exit_code run_command(const struct command *c, int argc, char **argv)
{
    const char *from_environment = getenv("MAASGATE_ADMIN");
    struct session s = { .socket_path = from_environment && *from_environment ? from_environment
                                                                              : SOCKET_DEFAULT };
    AUTO(json_decref_ptr) json_t *args = NULL;
    bool help = false;
    enum exit_code code = options_read(c, argc, argv, &s, &args, &help);
    if (code != EXIT_OK)
        return code;
    if (help) {
        help_command(c, stdout);
        return EXIT_OK;
    }
    return ask_and_show(c, &s, args);
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

/* The commands that begin most like what was typed; false: none does. */
static bool print_group(int argc, char **argv, FILE *out)
{
    bool all;
    int most = 1;
    unsigned found = 0;
    for (const struct command *c = commands; c->words; c++) {
        int shared = words_shared(c, argc, argv, &all);
        most = shared > most ? shared : most;
    }
    for (const struct command *c = commands; c->words; c++)
        if (words_shared(c, argc, argv, &all) == most && ++found)
            help_row(c, out);
    return found > 0;
}

static enum exit_code no_command(int argc, char **argv)
{
    if (argv[0][0] == '-')
        fprintf(stderr, "maasgate: %s stands behind the command, as in maasgate status --json\n",
                argv[0]);
    else if (print_group(argc, argv, stderr))
        fprintf(stderr, "maasgate: which of these? maasgate COMMAND --help tells more\n");
    else
        fprintf(stderr, "maasgate: there is no command '%s'; see maasgate --help\n", argv[0]);
    return EXIT_USAGE;
}

/* Of everything, of a command, or of those that begin with such words. */
static enum exit_code help(int argc, char **argv)
{
    int words;
    const struct command *c = find_command(argc, argv, &words);
    if (argc == 0)
        help_all(stdout);
    else if (c)
        help_command(c, stdout);
    else if (!print_group(argc, argv, stdout))
        return no_command(argc, argv);
    return EXIT_OK;
}

static enum exit_code run_words(int argc, char **argv)
{
    int words;
    const struct command *c = find_command(argc, argv, &words);
    if (c)
        return run_command(c, argc - words, argv + words);
    bool asks = argc > 1 && is_one_of(argv[argc - 1], "--help", "-h", "help");
    return asks ? help(argc - 1, argv) : no_command(argc, argv);
}

int main(int argc, char **argv)
{
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8 whatever the session says */
    if (argc < 2) {
        help_all(stderr);
        return EXIT_USAGE;
    }
    if (is_one_of(argv[1], "--help", "-h", "help"))
        return (int)help(argc - 2, argv + 2);
    if (is_one_of(argv[1], "--version", "-V", "version")) {
        puts("maasgate " MAAS_VERSION);
        return EXIT_OK;
    }
    enum exit_code code = run_words(argc - 1, argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("maasgate: cannot write the answer");
        return EXIT_REFUSED;
    }
    return (int)code;
}
