/* cli/main.c -- `maasgate`: find the command, read its options, ask, show. */
#include "base/cleanup.h"
#include "base/version.h"
#include "cli/cli.h"
#include <locale.h>
#include <string.h>

/* How many words of argv the command's name has; 0: it is another command. */
static int words_matched(const struct command *c, int argc, char **argv)
{
    const char *rest = c->words;
    int count = 0;
    for (; count < argc && *rest; count++) {
        size_t len = strcspn(rest, " ");
        if (strlen(argv[count]) != len || memcmp(argv[count], rest, len) != 0)
            return 0;
        rest += len + (rest[len] == ' ');
    }
    return *rest ? 0 : count;
}

static const struct command *find_command(int argc, char **argv, int *ret_words)
{
    for (const struct command *c = commands; c->words; c++)
        if ((*ret_words = words_matched(c, argc, argv)) > 0)
            return c;
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

int main(int argc, char **argv)
{
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8 whatever the session says */
    if (argc < 2) {
        help_all(stderr);
        return EXIT_USAGE;
    }
    if (is_one_of(argv[1], "--help", "-h", "help")) {
        help_all(stdout);
        return EXIT_OK;
    }
    if (is_one_of(argv[1], "--version", "-V", "version")) {
        puts("maasgate " MAAS_VERSION);
        return EXIT_OK;
    }
    int words;
    const struct command *c = find_command(argc - 1, argv + 1, &words);
    if (!c) {
        fprintf(stderr, "maasgate: there is no command '%s'; see maasgate --help\n", argv[1]);
        return EXIT_USAGE;
    }
    enum exit_code code = run_command(c, argc - 1 - words, argv + 1 + words);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("maasgate: cannot write the answer");
        return EXIT_REFUSED;
    }
    return (int)code;
}
