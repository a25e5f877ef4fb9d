/* conf/conf.c -- reads a configuration file into a struct conf, whole or not at all.
 *
 * The order: the text becomes a tree, every setting gets its default, the file's own
 * settings replace them, then the catalog is built and what must fit together is checked.
 * The first problem ends it, with one line that says where and what was expected.
 */
#include "conf/conf.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/money.h"
#include "conf/reader.h"
#include "conf/value.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SCRATCH_BYTES = 64 << 20, /* the tree of the largest file that is accepted */
    WHY_BYTES = 300,
    ROWS_MAX = 64,
};

static enum status keep_string(char **field, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return STATUS_NO_MEMORY;
    free(*field);
    *field = copy;
    return STATUS_OK;
}

static enum status set_number(const struct conf_row *row, const char *text, uint64_t *field,
                              char why[static WHY_BYTES])
{
    uint64_t n;
    if (value_number(row->type, text, &n) && n >= row->min && n <= row->max) {
        *field = n;
        return STATUS_OK;
    }
    char min[VALUE_TEXT_BYTES], max[VALUE_TEXT_BYTES];
    const char *kind = row->type == CONF_BYTES  ? "a size"
                       : row->type == CONF_MSEC ? "a time"
                                                : "a number";
    snprintf(why, WHY_BYTES, "'%.60s' is not %s from %s to %s, e.g. '%s'", text, kind,
             value_number_text(row->type, row->min, min),
             value_number_text(row->type, row->max, max), row->def);
    return STATUS_BAD_FIELD;
}

static bool listen_ok(const char *text)
{
    return strncmp(text, "unix:", 5) ? value_host_port(text) : value_path(text + 5, 107);
}

static bool currency_ok(const char *text)
{
    return strlen(text) == 3 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 3;
}

/* What a text has to be; NULL when it is. */
static const char *text_expected(const struct conf_row *row, const char *text)
{
    money_t money;
    switch (row->type) {
    case CONF_LISTEN:
        return listen_ok(text) ? NULL : "HOST:PORT, [V6]:PORT or unix:/PATH";
    case CONF_PATH:
        return value_path(text, row->max) ? NULL : "an absolute path";
    case CONF_MONEY:
        return money_parse(text, &money) ? NULL : "an amount of money, e.g. '100.00'";
    case CONF_CURRENCY:
        return currency_ok(text) ? NULL : "three capital letters, e.g. 'USD'";
    case CONF_ENUM:
        return value_choice(text, row->choices) >= 0 ? NULL : row->choices;
    default:
        return value_printable(text, false) ? NULL : "one line of printable text";
    }
}

static enum status set_text(const struct conf_row *row, const char *text, char **field,
                            char why[static WHY_BYTES])
{
    bool bounded = row->type == CONF_STR || row->type == CONF_LISTEN || row->type == CONF_PATH;
    size_t len = strlen(text);
    if (bounded && (len < row->min || len > row->max)) {
        snprintf(why, WHY_BYTES, "is %zu bytes long; expected %llu to %llu", len,
                 (unsigned long long)row->min, (unsigned long long)row->max);
        return STATUS_BAD_FIELD;
    }
    const char *expected = bounded && !len ? NULL : text_expected(row, text);
    if (expected && row->type == CONF_PATH) { /* not repeated: it may be the secret itself */
        snprintf(why, WHY_BYTES, "is not %s", expected);
        return STATUS_BAD_FIELD;
    }
    if (expected) {
        snprintf(why, WHY_BYTES, "'%.100s' is not %s%s", text,
                 row->type == CONF_ENUM ? "one of " : "", expected);
        return STATUS_BAD_FIELD;
    }
    return keep_string(field, text);
}

static enum status set_row(struct conf *c, const struct conf_row *row, const char *text,
                           char why[static WHY_BYTES])
{
    void *field = (char *)c + row->offset;
    if (row->type == CONF_COUNT || row->type == CONF_BYTES || row->type == CONF_MSEC)
        return set_number(row, text, field, why);
    return set_text(row, text, field, why);
}

static enum status set_defaults(struct conf *c)
{
    char why[WHY_BYTES];
    enum status status = STATUS_OK;
    for (const struct conf_row *row = conf_table; !status && row->key; row++)
        status = set_row(c, row, row->def, why);
    return status;
}

static enum status read_setting(struct conf_reader *r, struct conf *c, const struct yaml_node *n)
{
    const char *names[ROWS_MAX];
    size_t count = 0; /* the tables are shorter than ROWS_MAX: see tests/unit/test_conf.c */
    for (const struct conf_row *row = conf_table; row->key; row++) {
        names[count++] = row->key;
        if (strcmp(row->key, n->key))
            continue;
        const char *text;
        char why[WHY_BYTES];
        enum status status = conf_text(r, n, &text);
        if (status)
            return status;
        status = set_row(c, row, text, why);
        return status == STATUS_BAD_FIELD ? conf_fail(r, n, "%s", why) : status;
    }
    for (const struct conf_key *k = top_keys; k->key; k++) {
        names[count++] = k->key;
        if (!strcmp(k->key, n->key))
            return STATUS_OK; /* read after all settings */
    }
    return conf_fail_unknown(r, n, "setting", names, count);
}

/* The defaults fit together, so at least one of two that do not is in the file. */
static enum status check_together(struct conf_reader *r, const struct yaml_node *root,
                                  const struct conf *c)
{
    const struct yaml_node *all = yaml_get(root, "bodies_bytes_max");
    const struct yaml_node *all_answers = yaml_get(root, "answers_bytes_max");
    const struct yaml_node *per_ip = yaml_get(root, "connections_per_ip_max");
    char a[VALUE_TEXT_BYTES], b[VALUE_TEXT_BYTES];
    if (c->bodies_bytes_max < c->body_bytes_max)
        return conf_fail_key(r, all ? all : yaml_get(root, "body_bytes_max"),
                             "bodies_bytes_max is %s, less than body_bytes_max, which is %s",
                             value_number_text(CONF_BYTES, c->bodies_bytes_max, a),
                             value_number_text(CONF_BYTES, c->body_bytes_max, b));
    if (c->answers_bytes_max < c->answer_bytes_max)
        return conf_fail_key(r, all_answers ? all_answers : yaml_get(root, "answer_bytes_max"),
                             "answers_bytes_max is %s, less than answer_bytes_max, which is %s",
                             value_number_text(CONF_BYTES, c->answers_bytes_max, a),
                             value_number_text(CONF_BYTES, c->answer_bytes_max, b));
    if (per_ip && c->connections_per_ip_max > c->connections_max)
        return conf_fail(r, per_ip, "has no effect: connections_max is %llu",
                         (unsigned long long)c->connections_max);
    if (!strcmp(c->listen, c->metrics_listen))
        return conf_fail(r, yaml_get(root, "metrics_listen"), "is the same as listen");
    return STATUS_OK;
}

static enum status read_catalog(struct conf_reader *r, const struct yaml_node *root, struct conf *c)
{
    c->catalog = catalog_new(&r->keep);
    if (!c->catalog)
        return conf_no_memory(r);
    struct catalog *catalog = c->catalog;
    r->unpriced = conf_published_prices(c);
    catalog->currency = arena_strdup(r->keep, c->currency);
    if (!catalog->currency)
        return conf_no_memory(r);
    enum status status = STATUS_OK;
    for (const struct conf_key *k = top_keys; !status && k->key; k++) {
        const struct yaml_node *n = yaml_get(root, k->key);
        if (n)
            status = k->read(r, k, n, (char *)catalog + k->offset);
    }
    for (size_t i = 0; i < r->backend_count; i++) /* so that a reload of the setting reaches them */
        if (!r->backends[i].connect_timeout_ms)
            r->backends[i].connect_timeout_ms = c->connect_timeout_ms;
    return status ? status : catalog_complete(r, root, catalog);
}

static enum status read_tree(struct conf_reader *r, const struct yaml_node *root, struct conf *c)
{
    enum status status = conf_want(r, root, YAML_MAP);
    for (const struct yaml_node *n = root->first; !status && n; n = n->next)
        status = read_setting(r, c, n);
    if (!status)
        status = check_together(r, root, c);
    if (!status)
        status = read_catalog(r, root, c);
    return status;
}

static void free_conf(struct conf **c)
{
    conf_free(*c);
}

enum status conf_parse(const char *name, const char *text, size_t len, struct conf **ret,
                       char err[static CONF_ERROR_BYTES])
{
    AUTO(arena_free_ptr) struct arena *scratch = arena_new(SCRATCH_BYTES);
    struct conf_reader r = { .file = name, .err = err, .scratch = scratch };
    AUTO(free_conf) struct conf *c = calloc(1, sizeof *c);
    if (!scratch || !c || set_defaults(c))
        return conf_no_memory(&r);
    const struct yaml_node *root;
    struct yaml_problem problem = { 0 };
    enum status status = yaml_read((struct span){ text, len }, scratch, &root, &problem);
    if (status == STATUS_BAD_FIELD) {
        const struct yaml_node at = { .line = problem.line, .column = problem.column };
        return conf_fail(&r, &at, "%s", problem.text);
    }
    if (!status)
        status = read_tree(&r, root, c);
    if (status == STATUS_NO_MEMORY)
        return conf_no_memory(&r);
    if (!status)
        *ret = TAKE(c);
    return status;
}

/* One byte more than is accepted is read, so that yaml_read sees that it is too much. */
static enum status read_file(int fd, struct buf *b)
{
    char piece[16384];
    while (b->len <= YAML_BYTES_MAX) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return STATUS_BAD_FIELD;
        if (n == 0)
            return STATUS_OK;
        if (!buf_add(b, piece, (size_t)n))
            return STATUS_NO_MEMORY;
    }
    return STATUS_OK;
}

enum status conf_load(const char *path, struct conf **ret, char err[static CONF_ERROR_BYTES])
{
    AUTO(close_ptr) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    AUTO(buf_free) struct buf text;
    buf_init(&text, YAML_BYTES_MAX + 65536);
    enum status status = fd < 0 ? STATUS_BAD_FIELD : read_file(fd, &text);
    if (!status)
        return conf_parse(path, text.at ? text.at : "", text.len, ret, err);
    int cause = errno;
    char sentence[128];
    snprintf(err, CONF_ERROR_BYTES, "%.200s: cannot be read: %s", path,
             status == STATUS_NO_MEMORY ? "not enough memory"
                                        : strerror_r(cause, sentence, sizeof sentence));
    return fd < 0 && cause == ENOENT ? STATUS_NOT_FOUND : status;
}

bool conf_is_text(const struct conf_row *row)
{
    return row->type != CONF_COUNT && row->type != CONF_BYTES && row->type != CONF_MSEC;
}

void conf_free(struct conf *c)
{
    if (!c)
        return;
    for (const struct conf_row *row = conf_table; row->key; row++)
        if (conf_is_text(row))
            free(*(char **)((char *)c + row->offset));
    catalog_unref(c->catalog);
    free(c);
}

static bool same(const struct conf_row *row, const struct conf *a, const struct conf *b)
{
    const void *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;
    if (conf_is_text(row))
        return !strcmp(*(char *const *)x, *(char *const *)y);
    return *(const uint64_t *)x == *(const uint64_t *)y;
}

const char *conf_value_text(const struct conf_row *row, const struct conf *c,
                            char text[static VALUE_TEXT_BYTES])
{
    const void *field = (const char *)c + row->offset;
    if (conf_is_text(row))
        return *(char *const *)field;
    return value_number_text(row->type, *(const uint64_t *)field, text);
}

bool conf_may_reload(const struct conf *now, const struct conf *next,
                     char err[static CONF_ERROR_BYTES])
{
    for (const struct conf_row *row = conf_table; row->key; row++)
        if (!(row->flags & CONF_RELOAD) && !same(row, now, next)) {
            char old[VALUE_TEXT_BYTES], new[VALUE_TEXT_BYTES];
            snprintf(err, CONF_ERROR_BYTES,
                     "%s cannot change while running (from '%.150s' to '%.150s'); restart instead",
                     row->key, conf_value_text(row, now, old), conf_value_text(row, next, new));
            return false;
        }
    return true;
}
