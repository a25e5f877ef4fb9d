/* cli/price.c -- price books: their files, and what is said of them. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include "conf/book.h"
#include "conf/price_lint.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { REPORT_LINES = 100 };

/* The whole text of a file; false, and said, when it cannot be had. */
static bool read_file(const char *path, struct buf *ret)
{
    char piece[16384];
    AUTO(close_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    buf_init(ret, BOOK_BYTES_MAX);
    while (n > 0 && (n = read(fd, piece, sizeof piece)) > 0)
        if (!buf_add(ret, piece, (size_t)n)) {
            fprintf(stderr, "maasgate: %s: a price book has at most %d KiB\n", path,
                    BOOK_BYTES_MAX >> 10);
            return false;
        }
    if (n < 0)
        fprintf(stderr, "maasgate: %s: %s\n", path, strerror(errno));
    else if (!ret->len)
        fprintf(stderr, "maasgate: %s is empty\n", path);
    return n == 0 && ret->len;
}

/* Puts the text of the file that argument `at` names into argument `key`. */
static enum exit_code put_file(json_t *args, const char *at, const char *key)
{
    AUTO(buf_free) struct buf text;
    if (!read_file(text_of(args, at), &text))
        return EXIT_USAGE;
    if (json_object_set_new(args, key, json_stringn(text.at, text.len)) == 0)
        return EXIT_OK;
    fprintf(stderr, "maasgate: %s is not UTF-8 text\n", text_of(args, at));
    return EXIT_USAGE;
}

static enum exit_code ask_and_show(const struct session *s, const char *command, json_t *args,
                                   enum exit_code (*show)(json_t *result))
{
    AUTO(json_decref_ptr) json_t *result = NULL;
    enum exit_code code = ask(s, command, args, &result);
    if (code != EXIT_OK || !s->json)
        return code != EXIT_OK ? code : show(result);
    json_dumpf(result, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
    return EXIT_OK;
}

/* ---- lint ---------------------------------------------------------------------------------- */

static enum exit_code show_lint(json_t *result)
{
    size_t i;
    json_t *line;
    printf("%s: ok, %" JSON_INTEGER_FORMAT " models, %" JSON_INTEGER_FORMAT " prices, sha256 %s\n",
           text_of(result, "price_book"), json_integer_value(json_object_get(result, "models")),
           json_integer_value(json_object_get(result, "prices")), text_of(result, "sha256"));
    json_array_foreach (json_object_get(result, "report"), i, line)
        printf("%s\n", json_string_value(line));
    return EXIT_OK;
}

static void unref(struct catalog **c)
{
    catalog_unref(*c);
}

static void free_conf(struct conf **c)
{
    conf_free(*c);
}

/* Without a daemon: the models are those of a configuration file. */
static enum exit_code lint_here(const char *path, const char *conf_path)
{
    char err[CONF_ERROR_BYTES] = "";
    AUTO(free_conf) struct conf *conf = NULL;
    AUTO(unref) struct catalog *book = NULL;
    AUTO(buf_free) struct buf text;
    AUTO(buf_free) struct buf report;
    buf_init(&report, 1 << 20);
    if (!read_file(path, &text))
        return EXIT_USAGE;
    if (conf_load(conf_path, &conf, err) ||
        book_read(path, (struct span){ text.at, text.len }, conf->catalog, &book, err) ||
        !prices_report(book, REPORT_LINES, &report)) {
        fprintf(stderr, "%s\n", *err ? err : "maasgate: not enough memory");
        return EXIT_REFUSED;
    }
    printf("%s: ok, %zu models\n%s", book->price_book, book->model_count,
           report.len ? report.at : "");
    return EXIT_OK;
}

enum exit_code run_price_lint(const struct session *s, json_t *args)
{
    const char *conf = text_of(args, "config");
    if (*conf)
        return lint_here(text_of(args, "file"), conf);
    enum exit_code code = put_file(args, "file", "book");
    return code ? code : ask_and_show(s, "price.lint", args, show_lint);
}

/* ---- diff ---------------------------------------------------------------------------------- */

static void print_prices(char sign, json_t *prices)
{
    size_t i;
    json_t *price;
    json_array_foreach (prices, i, price)
        printf("  %c %s\n", sign, json_string_value(price));
}

static enum exit_code show_diff(json_t *result)
{
    size_t i;
    json_t *row, *rows = json_object_get(result, "data");
    json_array_foreach (rows, i, row) {
        printf("%s %s: %s\n", text_of(row, "model"), text_of(row, "meter"), text_of(row, "change"));
        print_prices('-', json_object_get(row, "before"));
        print_prices('+', json_object_get(row, "after"));
    }
    if (!json_array_size(rows))
        puts("no price differs");
    return EXIT_OK;
}

/* A version of the store, or a file. */
static bool is_stored(const char *name)
{
    return strcmp(name, "current") == 0 || (*name && strspn(name, "0123456789") == strlen(name));
}

enum exit_code run_price_diff(const struct session *s, json_t *args)
{
    enum exit_code code = EXIT_OK;
    if (!is_stored(text_of(args, "a")))
        code = put_file(args, "a", "a_book");
    if (!code && !is_stored(text_of(args, "b")))
        code = put_file(args, "b", "b_book");
    return code ? code : ask_and_show(s, "price.diff", args, show_diff);
}

/* ---- simulate ------------------------------------------------------------------------------ */

static enum exit_code show_simulation(json_t *result)
{
    static const struct column columns[] = {
        { "ORGANIZATION", "organization", false, NULL },
        { "MODEL", "model", false, NULL },
        { "REQUESTS", "requests", true, NULL },
        { "CHARGED", "amount", true, NULL },
        { "WOULD BE", "would", true, NULL },
        { "DIFFERENCE", "difference", true, NULL },
        { 0 },
    };
    static const struct column left[] = {
        { "ORGANIZATION", "organization", false, NULL },
        { "MODEL", "model", false, NULL },
        { "REQUESTS", "requests", true, NULL },
        { "CHARGED", "amount", true, NULL },
        { "NOT RATED AGAIN, BECAUSE", "why", false, NULL },
        { 0 },
    };
    json_t *not_rated = json_object_get(result, "not_rated");
    table_print(json_object_get(result, "data"), columns);
    printf("\n%s by %s: %" JSON_INTEGER_FORMAT
           " requests, %s charged, %s would be, difference %s %s\n",
           text_of(result, "month"), text_of(result, "price_book"),
           json_integer_value(json_object_get(result, "requests")), text_of(result, "amount"),
           text_of(result, "would"), text_of(result, "difference"), text_of(result, "currency"));
    if (json_array_size(not_rated)) {
        puts("\nin no sum above:");
        table_print(not_rated, left);
    }
    return EXIT_OK;
}

enum exit_code run_price_simulate(const struct session *s, json_t *args)
{
    if (!*text_of(args, "month")) {
        fprintf(stderr, "maasgate: which month? --month 2026-11\n");
        return EXIT_USAGE;
    }
    enum exit_code code = put_file(args, "file", "book");
    return code ? code : ask_and_show(s, "price.simulate", args, show_simulation);
}
