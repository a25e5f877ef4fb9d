/* cli/price.c -- price books: their files, and what is said of them. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/env.h"
#include "cli/cli.h"
#include "conf/book.h"
#include "conf/price_lint.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REPORT_LINES = 100, KEY_FILE_BYTES = 200 };
#define KEY_PREFIX "mgprice_"

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

/* Puts the text of the file that argument `at` names into argument `key`; in messages the file has
 * its last name. */
static enum exit_code put_file(json_t *args, const char *at, const char *key)
{
    AUTO(buf_free) struct buf text;
    const char *path = text_of(args, at), *slash = strrchr(path, '/');
    if (!read_file(path, &text))
        return EXIT_USAGE;
    if (json_object_set_new(args, key, json_stringn(text.at, text.len)) == 0 &&
        json_object_set_new(args, at, json_string(slash ? slash + 1 : path)) == 0)
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
    if (*conf && *text_of(args, "owner")) {
        fprintf(stderr, "maasgate: --for needs a daemon, which knows the list: without --config\n");
        return EXIT_USAGE;
    }
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

/* A version or a draft of the store, else a file. */
static bool is_stored(const char *name)
{
    const char *digits = strncmp(name, "draft-", 6) == 0 ? name + 6 : name;
    return strcmp(name, "current") == 0 || strcmp(name, "list") == 0 ||
           (*digits && strspn(digits, "0123456789") == strlen(digits));
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

/* ---- publishing ---------------------------------------------------------------------------- */

/* The secret of --key-file becomes an argument; it is never typed. */
static enum exit_code put_secret(json_t *args)
{
    const char *path = text_of(args, "key_file");
    char secret[KEY_FILE_BYTES + 1];
    struct stat st;
    if (!*path)
        return EXIT_OK;
    AUTO(close_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, secret, KEY_FILE_BYTES);
    if (len < 0 || fstat(fd, &st) != 0) {
        fprintf(stderr, "maasgate: %s: %s\n", path, strerror(errno));
        return EXIT_USAGE;
    }
    secret[len] = '\0';
    secret[strcspn(secret, "\r\n")] = '\0';
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        fprintf(stderr, "maasgate: %s can be read by others: chmod 600 it\n", path);
        return EXIT_USAGE;
    }
    if (strncmp(secret, KEY_PREFIX, sizeof KEY_PREFIX - 1) != 0 ||
        json_object_set_new(args, "secret", json_string(secret)) != 0) {
        fprintf(stderr, "maasgate: %s holds no key of maasgate price key\n", path);
        return EXIT_USAGE;
    }
    json_object_del(args, "key_file");
    return EXIT_OK;
}

static enum exit_code show_draft(json_t *result)
{
    json_int_t draft = json_integer_value(json_object_get(result, "draft"));
    const char *owner = text_of(result, "for");
    printf("draft %" JSON_INTEGER_FORMAT ": %s%s%s, sha256 %s, proposed by %s\n"
           "a second person approves it: maasgate price approve %" JSON_INTEGER_FORMAT "\n",
           draft, text_of(result, "price_book"), *owner ? " for " : "", owner,
           text_of(result, "sha256"), text_of(result, "proposed_by"), draft);
    return EXIT_OK;
}

static enum exit_code want_from(json_t *args)
{
    if (*text_of(args, "from"))
        return EXIT_OK;
    fprintf(stderr, "maasgate: from when? --from 2027-01-01\n");
    return EXIT_USAGE;
}

static enum exit_code want_reseller(json_t *args)
{
    if (!json_object_get(args, "resale") || *text_of(args, "owner"))
        return EXIT_OK;
    fprintf(stderr, "maasgate: whose customers? --for RESELLER --resale\n");
    return EXIT_USAGE;
}

enum exit_code run_price_publish(const struct session *s, json_t *args)
{
    enum exit_code code = want_from(args);
    if (!code)
        code = want_reseller(args);
    if (!code)
        code = put_file(args, "file", "book");
    if (!code)
        code = put_secret(args);
    return code ? code : ask_and_show(s, "price.publish", args, show_draft);
}

enum exit_code run_price_withdraw(const struct session *s, json_t *args)
{
    enum exit_code code = want_from(args);
    if (!code && !*text_of(args, "owner")) {
        fprintf(stderr, "maasgate: whose book? --for SLUG; the list is only followed by another\n");
        return EXIT_USAGE;
    }
    if (!code)
        code = put_secret(args);
    return code ? code : ask_and_show(s, "price.withdraw", args, show_draft);
}

static enum exit_code show_published(json_t *result)
{
    const char *owner = text_of(result, "for");
    printf("version %" JSON_INTEGER_FORMAT ": %s%s%s, in force from %s\n"
           "proposed by %s, published by %s, sha256 %s\n",
           json_integer_value(json_object_get(result, "version")), text_of(result, "price_book"),
           *owner ? " for " : "", owner, text_of(result, "effective"),
           text_of(result, "proposed_by"), text_of(result, "published_by"),
           text_of(result, "sha256"));
    return EXIT_OK;
}

enum exit_code run_price_approve(const struct session *s, json_t *args)
{
    const char *text = text_of(args, "draft");
    char *end;
    long long draft = strtoll(strncmp(text, "draft-", 6) == 0 ? text + 6 : text, &end, 10);
    if (*end || draft < 1) {
        fprintf(stderr, "maasgate: '%s' is not the number of a draft\n", text);
        return EXIT_USAGE;
    }
    json_object_set_new(args, "draft", json_integer(draft));
    enum exit_code code = put_secret(args);
    return code ? code : ask_and_show(s, "price.approve", args, show_published);
}

enum exit_code show_price_books(json_t *result)
{
    static const struct column columns[] = {
        { "DRAFT", "draft", true, NULL },
        { "VERSION", "version", true, NULL },
        { "BOOK", "price_book", false, NULL },
        { "FOR", "for", false, NULL },
        { "KIND", "kind", false, NULL },
        { "STATE", "state", false, NULL },
        { "FROM", "effective", false, NULL },
        { "PROPOSED BY", "proposed_by", false, NULL },
        { "PUBLISHED BY", "published_by", false, NULL },
        { "SHA256", "sha256", false, NULL },
        { 0 },
    };
    table_print(json_object_get(result, "data"), columns);
    return EXIT_OK;
}

enum exit_code show_price_book(json_t *result)
{
    static const struct column columns[] = {
        { "MODEL", "model", false, NULL },
        { "METER", "meter", false, NULL },
        { "PRICE", "price", false, NULL },
        { 0 },
    };
    printf("sha256 %s\n\n", text_of(result, "sha256"));
    table_print(json_object_get(result, "data"), columns);
    return EXIT_OK;
}

/* ---- approvers ----------------------------------------------------------------------------- */

/* A new secret in a file that only its owner reads; of it the daemon learns the digest. */
enum exit_code run_price_key(const struct session *s, json_t *args)
{
    const char *path = text_of(args, "file");
    uint8_t random[DIGEST_BYTES], digest[DIGEST_BYTES];
    char secret[sizeof KEY_PREFIX + DIGEST_HEX_BYTES], hex[DIGEST_HEX_BYTES];
    (void)s;
    env_system.random(env_system.arg, random, sizeof random);
    int len =
        snprintf(secret, sizeof secret, KEY_PREFIX "%s", digest_hex(random, sizeof random, hex));
    AUTO(close_ptr) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool kept = fd >= 0 && write(fd, secret, (size_t)len) == len && write(fd, "\n", 1) == 1 &&
                fsync(fd) == 0;
    digest_sha256(secret, (size_t)len, digest);
    digest_wipe(secret, sizeof secret);
    digest_wipe(random, sizeof random);
    if (!kept) {
        fprintf(stderr, "maasgate: %s: %s\n", path, strerror(errno));
        return EXIT_REFUSED;
    }
    printf("%s\n", digest_hex(digest, sizeof digest, hex));
    return EXIT_OK;
}

enum exit_code show_approver(json_t *result)
{
    bool added = json_object_get(result, "created_by") != NULL;
    printf("approver %s %s by %s\n", text_of(result, "name"), added ? "added" : "revoked",
           text_of(result, added ? "created_by" : "revoked_by"));
    return EXIT_OK;
}

enum exit_code show_approvers(json_t *result)
{
    static const struct column columns[] = {
        { "NAME", "name", false, NULL },     { "SINCE", "created", false, NULL },
        { "BY", "created_by", false, NULL }, { "REVOKED", "revoked", false, NULL },
        { "BY", "revoked_by", false, NULL }, { 0 },
    };
    table_print(json_object_get(result, "data"), columns);
    return EXIT_OK;
}
