/* billing/audit_layers.c -- what organizations with a book of their own are rated by: that it is the
 * list of a version with that book on it, and nothing else.
 *
 * The texts are compared line by line; nothing of pricebook_layer.c is used.
 */
#include "base/digest.h"
#include "billing/audit_inside.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sql_layers[] =
    "SELECT y.price_version, y.list_version, y.own_version, v.text, l.text, o.text, l.sha256,"
    " o.sha256 FROM price_layer y LEFT JOIN price_version v ON v.id = y.price_version"
    " LEFT JOIN price_version l ON l.id = y.list_version"
    " LEFT JOIN price_version o ON o.id = y.own_version ORDER BY y.price_version";

enum { L_VERSION, L_LIST, L_OWN, L_TEXT, L_LIST_TEXT, L_OWN_TEXT, L_LIST_SHA256, L_OWN_SHA256 };
enum { LINE_BYTES = 4096 };

/* The line at `at`, without its end; what follows it. */
static const char *line_of(const char *at, struct span *ret)
{
    const char *end = strchr(at, '\n');
    *ret = (struct span){ at, end ? (size_t)(end - at) : strlen(at) };
    return end ? end + 1 : at + ret->len;
}

/* "\nMODEL METER " of a line; "" when it has not so many words, or is too long. */
static void key_of(struct span line, char ret[static LINE_BYTES])
{
    const char *first = memchr(line.at, ' ', line.len);
    size_t left = first ? line.len - (size_t)(first + 1 - line.at) : 0;
    const char *second = left ? memchr(first + 1, ' ', left) : NULL;
    size_t len = second ? (size_t)(second + 1 - line.at) : 0;
    *ret = '\0';
    if (len && len + 2 < LINE_BYTES)
        snprintf(ret, LINE_BYTES, "\n%.*s", (int)len, line.at);
}

static bool is_same(struct span a, struct span b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* Of a line of the layer " list=P": cut out, and P. */
static void split_list(struct span line, char bare[static LINE_BYTES],
                       char price[static LINE_BYTES])
{
    *price = '\0';
    snprintf(bare, LINE_BYTES, "%.*s", (int)(line.len < LINE_BYTES ? line.len : 0), line.at);
    char *at = strstr(bare, " list=");
    if (!at)
        return;
    size_t len = strcspn(at + 6, " ");
    snprintf(price, LINE_BYTES, "%.*s", (int)len, at + 6);
    memmove(at, at + 6 + len, strlen(at + 6 + len) + 1);
}

/* "MODEL METER unit 5/1 size=x" is "MODEL METER 5/1" when nothing stands behind the amount. */
static bool is_own_line(const char *bare, struct span own, const char *key)
{
    if (is_same((struct span){ bare, strlen(bare) }, own))
        return true;
    size_t head = strlen(key) - 1;
    bool unit = strncmp(bare + head, "unit ", 5) == 0 && !strchr(bare + head + 5, ' ');
    char plain[LINE_BYTES];
    snprintf(plain, sizeof plain, "%.*s%s", (int)head, bare, unit ? bare + head + 5 : "");
    return unit && is_same((struct span){ plain, strlen(plain) }, own);
}

/* The list sells a unit at that price: plainly, or by the unit with whatever conditions. */
static bool is_listed(const char *list, const char *key, const char *price)
{
    char plain[2 * LINE_BYTES + 8], unit[2 * LINE_BYTES + 8], more[2 * LINE_BYTES + 8];
    snprintf(plain, sizeof plain, "%s%s\n", key, price);
    snprintf(unit, sizeof unit, "%sunit %s\n", key, price);
    snprintf(more, sizeof more, "%sunit %s ", key, price);
    return strstr(list, plain) || strstr(list, unit) || strstr(list, more);
}

/* The next line of the list that the organization's book does not replace. */
static const char *next_listed(const char *at, const char *own, struct span *ret)
{
    char key[LINE_BYTES];
    *ret = (struct span){ at, 0 };
    while (*at) {
        const char *next = line_of(at, ret);
        key_of(*ret, key);
        if (!*key || !strstr(own, key))
            return next;
        *ret = (struct span){ next, 0 };
        at = next;
    }
    return at;
}

/* Line by line: an organization's where it says something of the meter, else the list's; in the order
 * of keys, of which ' ' is the least character. */
static bool is_layer(const char *text, const char *list, const char *own)
{
    char key[LINE_BYTES], last[LINE_BYTES] = "", bare[LINE_BYTES], price[LINE_BYTES];
    const char *left_list = strchr(list, '\n'), *left_own = strchr(own, '\n');
    struct span line, other;
    if (!left_list || !left_own)
        return false;
    left_list++;
    left_own++;
    while (*text) {
        text = line_of(text, &line);
        key_of(line, key);
        if (!*key || strcmp(last, key) > 0)
            return false;
        snprintf(last, sizeof last, "%s", key);
        if (!strstr(own, key)) {
            left_list = next_listed(left_list, own, &other);
            if (!is_same(line, other))
                return false;
            continue;
        }
        left_own = line_of(left_own, &other);
        split_list(line, bare, price);
        if (!is_own_line(bare, other, key) || (*price && !is_listed(list, key, price)))
            return false;
    }
    next_listed(left_list, own, &other);
    return other.len == 0 && !*left_own;
}

/* "... over SHA256 own SHA256": what it was made of. */
static bool is_head(const char *text, const void *list_sha256, const void *own_sha256)
{
    char list[DIGEST_HEX_BYTES], own[DIGEST_HEX_BYTES], tail[2 * DIGEST_HEX_BYTES + 20];
    struct span line;
    line_of(text, &line);
    int len =
        snprintf(tail, sizeof tail, " over %s own %s", digest_hex(list_sha256, DIGEST_BYTES, list),
                 digest_hex(own_sha256, DIGEST_BYTES, own));
    return line.len > (size_t)len && memcmp(line.at + line.len - len, tail, (size_t)len) == 0;
}

static bool keep_layer(struct audit *a, struct db_stmt *s)
{
    struct audit_layer *more = realloc(a->layers, (a->layer_count + 1) * sizeof *more);
    if (!more)
        return false;
    a->layers = more;
    a->layers[a->layer_count++] =
        (struct audit_layer){ db_col_int(s, L_VERSION), db_col_int(s, L_LIST),
                              db_col_int(s, L_OWN) };
    return true;
}

static enum status layer_row(struct audit *a, struct db_stmt *s)
{
    int64_t version = db_col_int(s, L_VERSION);
    if (db_col_null(s, L_TEXT) || db_col_null(s, L_LIST_TEXT) || db_col_null(s, L_OWN_TEXT)) {
        audit_problem(a, "price version %" PRId64 " is made of a book that is not there", version);
        return STATUS_OK;
    }
    const char *text = db_col_text(s, L_TEXT, NULL), *body = strchr(text, '\n');
    if (!body ||
        !is_head(text, db_col_blob(s, L_LIST_SHA256, NULL), db_col_blob(s, L_OWN_SHA256, NULL)) ||
        !is_layer(body + 1, db_col_text(s, L_LIST_TEXT, NULL), db_col_text(s, L_OWN_TEXT, NULL)))
        audit_problem(a,
                      "price version %" PRId64 " is not the list of version %" PRId64
                      " with the book of version %" PRId64 " on it",
                      version, db_col_int(s, L_LIST), db_col_int(s, L_OWN));
    return keep_layer(a, s) ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status audit_layers(struct audit *a)
{
    return audit_query(a, sql_layers, layer_row);
}

static int by_version(const void *key, const void *layer)
{
    int64_t a = *(const int64_t *)key, b = ((const struct audit_layer *)layer)->version;
    return (a > b) - (a < b);
}

const struct audit_layer *audit_layer_of(const struct audit *a, int64_t version)
{
    return a->layer_count
               ? bsearch(&version, a->layers, a->layer_count, sizeof *a->layers, by_version)
               : NULL;
}
