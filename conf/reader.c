/* conf/reader.c -- the walker: a map of the file against the table of its keys, and the
 * one place that writes a message with file, line, column and path. */
#include "conf/reader.h"
#include "base/buf.h"
#include "conf/value.h"
#include <stdarg.h>
#include <stdio.h>

enum { KEYS_MAX = 64 }; /* of one table */

/* "models.base/chat.routes[1].weight"; the root has no path. */
static size_t write_path(const struct yaml_node *n, char *out, size_t room)
{
    if (!n->parent)
        return 0;
    size_t len = write_path(n->parent, out, room);
    if (len >= room)
        return len;
    int more = n->key ? snprintf(out + len, room - len, "%s%.70s", len ? "." : "", n->key)
                      : snprintf(out + len, room - len, "[%zu]", n->at);
    return len + (more > 0 ? (size_t)more : 0);
}

/* A message is one line of printable text, whatever the file has put into it. */
static void one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

__attribute__((format(printf, 5, 0))) static enum status fail_at(struct conf_reader *r,
                                                                 unsigned line, unsigned column,
                                                                 const struct yaml_node *path,
                                                                 const char *fmt, va_list args)
{
    char where[200] = "";
    if (path)
        write_path(path, where, sizeof where);
    int len = snprintf(r->err, CONF_ERROR_BYTES, "%.120s:%u:%u: %s%s", r->file, line, column, where,
                       where[0] ? ": " : "");
    if (len > 0 && len < CONF_ERROR_BYTES)
        vsnprintf(r->err + len, (size_t)(CONF_ERROR_BYTES - len), fmt, args);
    one_line(r->err);
    return STATUS_BAD_FIELD;
}

enum status conf_fail(struct conf_reader *r, const struct yaml_node *at, const char *fmt, ...)
{
    bool by_key = at->kind != YAML_TEXT && at->key;
    va_list args;
    va_start(args, fmt);
    enum status status = fail_at(r, by_key ? at->key_line : at->line,
                                 by_key ? at->key_column : at->column, at, fmt, args);
    va_end(args);
    return status;
}

enum status conf_fail_key(struct conf_reader *r, const struct yaml_node *at, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    enum status status = fail_at(r, at->key_line, at->key_column, at->parent, fmt, args);
    va_end(args);
    return status;
}

enum status conf_fail_unknown(struct conf_reader *r, const struct yaml_node *at, const char *what,
                              const char *const *names, size_t count)
{
    const char *nearest = value_nearest(at->key, names, count);
    if (nearest)
        return conf_fail_key(r, at, "unknown %s '%.100s'; did you mean '%s'?", what, at->key,
                             nearest);
    if (count > 24)
        return conf_fail_key(r, at, "unknown %s '%.100s'; maasgated --help-config lists all", what,
                             at->key);
    char all[300] = "";
    for (size_t i = 0, len = 0; i < count && len < sizeof all; i++) {
        int more = snprintf(all + len, sizeof all - len, "%s%s", i ? ", " : "", names[i]);
        len += more > 0 ? (size_t)more : 0;
    }
    return conf_fail_key(r, at, "unknown %s '%.100s'; expected one of %s", what, at->key, all);
}

enum status conf_no_memory(struct conf_reader *r)
{
    snprintf(r->err, CONF_ERROR_BYTES, "%.120s: not enough memory to read it", r->file);
    return STATUS_NO_MEMORY;
}

enum status conf_want(struct conf_reader *r, const struct yaml_node *n, enum yaml_kind kind)
{
    static const char *const names[] = { "a single value", "a map of keys", "a list" };
    if (n->kind == kind)
        return STATUS_OK;
    if (n->kind == YAML_TEXT && n->plain && !n->text[0])
        return conf_fail(r, n, "has no value; expected %s", names[kind]);
    return conf_fail(r, n, "expected %s, not %s", names[kind], names[n->kind]);
}

enum status conf_text(struct conf_reader *r, const struct yaml_node *n, const char **ret)
{
    enum status status = conf_want(r, n, YAML_TEXT);
    if (status)
        return status;
    if (n->plain && !n->text[0])
        return conf_fail(r, n, "has no value; write \"\" for an empty text");
    *ret = n->text;
    return STATUS_OK;
}

static enum status walk_one(struct conf_reader *r, const struct yaml_node *n,
                            const struct conf_key *keys, void *out, bool seen[static KEYS_MAX])
{
    const char *names[KEYS_MAX];
    size_t count = 0;
    for (; keys[count].key; count++) {
        if (!strcmp(keys[count].key, n->key)) {
            seen[count] = true;
            return keys[count].read(r, &keys[count], n, (char *)out + keys[count].offset);
        }
        names[count] = keys[count].key;
    }
    return conf_fail_unknown(r, n, "key", names, count);
}

enum status conf_walk(struct conf_reader *r, const struct yaml_node *map,
                      const struct conf_key *keys, void *out)
{
    bool seen[KEYS_MAX] = { false };
    enum status status = conf_want(r, map, YAML_MAP);
    for (const struct yaml_node *n = map->first; !status && n; n = n->next)
        status = walk_one(r, n, keys, out, seen);
    for (size_t i = 0; !status && keys[i].key; i++)
        if (keys[i].required && !seen[i])
            status =
                conf_fail(r, map, "'%s' is missing; expected %s", keys[i].key, keys[i].expects);
    return status;
}

static enum status keep_text(struct conf_reader *r, const struct conf_key *k,
                             const struct yaml_node *value, bool lines, void *field)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (status)
        return status;
    size_t len = strlen(text);
    if (len < k->min || len > k->max)
        return conf_fail(r, value, "is %zu bytes long; expected %llu to %llu", len,
                         (unsigned long long)k->min, (unsigned long long)k->max);
    if (!value_printable(text, lines))
        return conf_fail(r, value, "has a control character");
    const char *copy = arena_strdup(r->keep, text);
    if (!copy)
        return conf_no_memory(r);
    *(const char **)field = copy;
    return STATUS_OK;
}

READER(read_text)
{
    return keep_text(r, k, value, false, field);
}

READER(read_lines)
{
    return keep_text(r, k, value, true, field);
}

READER(read_path)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (!status && !value_path(text, k->max)) /* not repeated: it may be the secret itself */
        return conf_fail(r, value, "is not %s", k->expects);
    return status ? status : keep_text(r, k, value, false, field);
}

static enum status number(struct conf_reader *r, const struct conf_key *k,
                          const struct yaml_node *value, enum conf_type type, uint64_t *ret)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (status)
        return status;
    uint64_t n;
    if (!value_number(type, text, &n) || n < k->min || n > k->max) {
        char min[VALUE_TEXT_BYTES], max[VALUE_TEXT_BYTES];
        return conf_fail(r, value, "'%.60s' is not %s from %s to %s", text,
                         type == CONF_MSEC ? "a time" : "a number",
                         value_number_text(type, k->min, min),
                         value_number_text(type, k->max, max));
    }
    *ret = n;
    return STATUS_OK;
}

READER(read_count)
{
    return number(r, k, value, CONF_COUNT, field);
}

READER(read_count32)
{
    uint64_t n;
    enum status status = number(r, k, value, CONF_COUNT, &n);
    if (!status)
        *(uint32_t *)field = (uint32_t)n; /* the row's maximum is below 2^32 */
    return status;
}

READER(read_msec)
{
    return number(r, k, value, CONF_MSEC, field);
}

READER(read_choice)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (status)
        return status;
    int at = value_choice(text, k->expects);
    if (at < 0)
        return conf_fail(r, value, "'%.60s' is not one of %s", text, k->expects);
    *(unsigned *)field = (unsigned)at;
    return STATUS_OK;
}

READER(read_bool)
{
    unsigned choice = 0;
    enum status status = read_choice(r, k, value, &choice);
    if (!status)
        *(bool *)field = choice == 0;
    return status;
}

READER(read_date)
{
    const char *text;
    enum status status = conf_text(r, value, &text);
    if (!status && !value_date(text, field))
        return conf_fail(r, value, "'%.60s' is not %s", text, k->expects);
    return status;
}

READER(read_node)
{
    (void)r, (void)k;
    *(const struct yaml_node **)field = value;
    return STATUS_OK;
}
