/* cli/options.c -- the command line by the table, and the help from the same table. */
#include "cli/cli.h"
#include "base/cleanup.h"
#include <errno.h>
#include <string.h>

/* What every command takes. */
static const struct option_row global_options[] = {
    { "--json", NULL, OPTION_FLAG, NULL, "print the daemon's answer as JSON" },
    { "--socket", NULL, OPTION_TEXT, "PATH",
      "admin socket (else $MAASGATE_ADMIN, else " SOCKET_DEFAULT ")" },
    { "--help", NULL, OPTION_FLAG, NULL, "this text" },
    { 0 },
};

struct reading {
    const struct command *command;
    struct session *session;
    json_t *args;
    unsigned positions;
    bool help;
};

static const struct option_row *find_in(const struct option_row *rows, const char *flag, size_t len)
{
    for (; rows && rows->flag; rows++)
        if (strlen(rows->flag) == len && memcmp(rows->flag, flag, len) == 0)
            return rows;
    return NULL;
}

static enum exit_code complain(const struct command *c, const char *what, const char *about)
{
    fprintf(stderr, "maasgate: %s '%s'; see maasgate %s --help\n", what, about, c->words);
    return EXIT_USAGE;
}

static enum exit_code set_global(struct reading *r, const struct option_row *row, const char *value)
{
    if (strcmp(row->flag, "--json") == 0)
        r->session->json = true;
    else if (strcmp(row->flag, "--help") == 0)
        r->help = true;
    else
        r->session->socket_path = value;
    return EXIT_OK;
}

static enum exit_code set_number(struct reading *r, const struct option_row *row, const char *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || number < 0)
        return complain(r->command, "not a whole number:", value);
    json_object_set_new(r->args, row->arg, json_integer(number));
    return EXIT_OK;
}

static enum exit_code set_option(struct reading *r, const struct option_row *row, const char *value)
{
    if (!row->arg)
        return set_global(r, row, value);
    if (row->kind == OPTION_NUMBER)
        return set_number(r, row, value);
    json_t *json = row->kind == OPTION_FLAG ? json_true() : json_string(value);
    if (json_object_set_new(r->args, row->arg, json) != 0)
        return complain(r->command, "not UTF-8 text:", row->flag);
    return EXIT_OK;
}

static enum exit_code add_position(struct reading *r, const char *text)
{
    const struct command *c = r->command;
    const char *arg = r->positions < POSITIONS_MAX ? c->positions[r->positions] : NULL;
    if (!arg)
        return complain(c, "unexpected argument", text);
    r->positions++;
    if (json_object_set_new(r->args, arg, json_string(text)) != 0)
        return complain(c, "not UTF-8 text:", arg);
    return EXIT_OK;
}

/* One word, or an option and its value; *at moves over both. */
static enum exit_code read_word(struct reading *r, int argc, char **argv, int *at)
{
    const char *word = argv[(*at)++];
    if (strcmp(word, "-h") == 0)
        word = "--help";
    if (strncmp(word, "--", 2) != 0)
        return add_position(r, word);
    size_t len = strcspn(word, "=");
    const struct option_row *row = find_in(r->command->options, word, len);
    if (!row)
        row = find_in(global_options, word, len);
    if (!row)
        return complain(r->command, "unknown option", word);
    const char *value = word[len] == '=' ? word + len + 1 : NULL;
    if (row->kind == OPTION_FLAG)
        return value ? complain(r->command, "takes no value:", row->flag)
                     : set_option(r, row, NULL);
    if (!value && *at == argc)
        return complain(r->command, "needs a value:", row->flag);
    return set_option(r, row, value ? value : argv[(*at)++]);
}

enum exit_code options_read(const struct command *c, int argc, char **argv, struct session *s,
                            json_t **ret_args, bool *ret_help)
{
    AUTO(json_decref_ptr) json_t *args = json_object();
    struct reading r = { .command = c, .session = s, .args = args };
    for (int at = 0; at < argc;) {
        enum exit_code code = read_word(&r, argc, argv, &at);
        if (code != EXIT_OK)
            return code;
    }
    if (!r.help && r.positions < c->required)
        return complain(c, "missing argument", c->positions[r.positions]);
    *ret_help = r.help;
    *ret_args = TAKE(args);
    return EXIT_OK;
}

/* ---- help ---- */

static void print_options(const struct option_row *rows, FILE *out)
{
    for (; rows && rows->flag; rows++) {
        const char *value = rows->value ? rows->value : "";
        int pad = 26 - (int)strlen(rows->flag) - (int)strlen(value);
        fprintf(out, "  %s %s%*s%s\n", rows->flag, value, pad > 1 ? pad : 1, "", rows->help);
    }
}

static void print_synopsis(const struct command *c, FILE *out)
{
    fputs(c->words, out);
    for (unsigned i = 0; i < POSITIONS_MAX && c->positions[i]; i++)
        fprintf(out, i < c->required ? " %s" : " [%s]", c->positions[i]);
    if (c->options)
        fputs(" [OPTIONS]", out);
}

void help_command(const struct command *c, FILE *out)
{
    fputs("usage: maasgate ", out);
    print_synopsis(c, out);
    fprintf(out, "\n\n%s.\n\n", c->help);
    print_options(c->options, out);
    print_options(global_options, out);
}

void help_row(const struct command *c, FILE *out)
{
    enum { WIDEST_COMMAND = 21 };
    fprintf(out, "  %-*s  %s\n", WIDEST_COMMAND, c->words, c->help);
}

void help_all(FILE *out)
{
    fputs("usage: maasgate COMMAND [ARGUMENTS] [OPTIONS]\n\n"
          "Administers a running maasgated through its admin socket.\n\n",
          out);
    for (const struct command *c = commands; c->words; c++)
        help_row(c, out);
    fputs("\nEvery command takes:\n", out);
    print_options(global_options, out);
    fputs("\nExit: 0 done, 1 refused by the daemon or an audit with problems, 2 wrong usage,\n"
          "3 the daemon cannot be reached.  maasgate COMMAND --help tells more.\n",
          out);
}
