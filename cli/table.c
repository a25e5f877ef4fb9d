/* cli/table.c -- JSON rows as an aligned table.
 *
 * Width is counted in terminal columns, so that Chinese names line up.  Texts
 * come from the store and are hostile to a terminal: no control character passes.
 */
#include "cli/cli.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include <string.h>
#include <wchar.h>

enum { CELL_BYTES_MAX = 4096 };

static bool add_value(struct buf *b, json_t *value);

static bool add_array(struct buf *b, json_t *array)
{
    size_t i;
    json_t *item;
    json_array_foreach (array, i, item) {
        if ((i > 0 && !buf_text(b, " ")) || !add_value(b, item))
            return false;
    }
    return true;
}

static bool add_object(struct buf *b, json_t *object)
{
    const char *key, *gap = "";
    json_t *value;
    json_object_foreach (object, key, value) {
        if (!buf_printf(b, "%s%s=", gap, key) || !add_value(b, value))
            return false;
        gap = " ";
    }
    return true;
}

static bool add_value(struct buf *b, json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        return buf_text(b, json_string_value(value));
    case JSON_INTEGER:
        return buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_TRUE:
        return buf_text(b, "yes");
    case JSON_FALSE:
        return buf_text(b, "no");
    case JSON_ARRAY:
        return add_array(b, value);
    case JSON_OBJECT:
        return add_object(b, value);
    default:
        return buf_text(b, "-");
    }
}

/* C0, DEL, and C1 as UTF-8 writes it: C2 80 to C2 9F. */
static void defuse(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        if (*at < ' ' || *at == 0x7f)
            *at = '?';
        else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
            at[0] = at[1] = '?';
    }
}

char *cell_text(json_t *value)
{
    AUTO(buf_free) struct buf b;
    buf_init(&b, CELL_BYTES_MAX);
    if (!add_value(&b, value) && b.len == 0)
        return strdup("(too long)");
    char *text = b.len > 0 ? buf_take(&b, NULL) : strdup(json_is_string(value) ? "" : "-");
    if (text)
        defuse(text);
    return text;
}

/* In terminal columns; bytes where the locale cannot tell. */
static size_t text_width(const char *text)
{
    wchar_t wide[CELL_BYTES_MAX + 1];
    size_t len = mbstowcs(wide, text, CELL_BYTES_MAX + 1);
    int width = len <= CELL_BYTES_MAX ? wcswidth(wide, len) : -1;
    return width >= 0 ? (size_t)width : strlen(text);
}

static char *cell(json_t *row, const struct column *c)
{
    json_t *value = json_object_get(row, c->key);
    if (c->zero && json_is_integer(value) && json_integer_value(value) == 0)
        return strdup(c->zero);
    return cell_text(value);
}

static void print_cell(const char *text, const struct column *c, size_t width, bool last)
{
    size_t used = text_width(text), pad = used < width ? width - used : 0;
    if (c->right)
        printf("%*s%s", (int)pad, "", text);
    else
        printf("%s%*s", text, last ? 0 : (int)pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

static size_t count_columns(const struct column *columns)
{
    size_t count = 0;
    while (columns[count].title && count < COLUMNS_MAX)
        count++;
    return count;
}

void table_print(json_t *rows, const struct column *columns)
{
    size_t count = count_columns(columns), width[COLUMNS_MAX], i;
    json_t *row;
    for (size_t c = 0; c < count; c++)
        width[c] = text_width(columns[c].title);
    json_array_foreach (rows, i, row) {
        for (size_t c = 0; c < count; c++) {
            AUTO(free_ptr) char *text = cell(row, &columns[c]);
            size_t used = text ? text_width(text) : 0;
            width[c] = used > width[c] ? used : width[c];
        }
    }
    for (size_t c = 0; c < count; c++)
        print_cell(columns[c].title, &columns[c], width[c], c + 1 == count);
    json_array_foreach (rows, i, row) {
        for (size_t c = 0; c < count; c++) {
            AUTO(free_ptr) char *text = cell(row, &columns[c]);
            print_cell(text ? text : "", &columns[c], width[c], c + 1 == count);
        }
    }
}

const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}
