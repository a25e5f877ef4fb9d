/* conf/yaml.c -- libyaml's events into our own tree; the only place that knows libyaml.
 *
 * Events and not libyaml's own documents, because those resolve aliases, accept
 * duplicate keys and have no limits.  The parser keeps its own stack, so nesting
 * costs no C stack here.
 */
#include "conf/yaml.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct reading {
    struct span text;
    yaml_parser_t parser;
    struct arena *arena;
    struct yaml_problem *problem;
    struct yaml_node *root, *open; /* open: the innermost map or list */
    const char *key;               /* read, its value not yet */
    yaml_mark_t key_mark;
    size_t nodes;
    unsigned depth, documents;
};

__attribute__((format(printf, 3, 4))) static enum status refuse(struct reading *r, yaml_mark_t at,
                                                                const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->problem->text, sizeof r->problem->text, fmt, args);
    va_end(args);
    r->problem->line = (unsigned)at.line + 1;
    r->problem->column = (unsigned)at.column + 1;
    return STATUS_BAD_FIELD;
}

/* libyaml tells the byte offset of a character it cannot read, not its line. */
static yaml_mark_t mark_of_offset(struct span text, size_t offset)
{
    yaml_mark_t mark = { 0 };
    for (size_t i = 0; i < offset && i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '\n') {
            mark.line++;
            mark.column = 0;
        } else if ((c & 0xc0) != 0x80) /* not a continuation byte */
            mark.column++;
    }
    return mark;
}

static enum status refuse_syntax(struct reading *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return STATUS_NO_MEMORY;
    const char *problem = p->problem ? p->problem : "not valid YAML";
    if (p->error == YAML_READER_ERROR)
        return refuse(r, mark_of_offset(r->text, p->problem_offset), "%s", problem);
    if (p->context)
        return refuse(r, p->problem_mark, "%s %s", problem, p->context);
    return refuse(r, p->problem_mark, "%s", problem);
}

static enum status new_node(struct reading *r, enum yaml_kind kind, yaml_mark_t at,
                            struct yaml_node **ret)
{
    if (++r->nodes > YAML_NODES_MAX)
        return refuse(r, at, "more than %d values in one file", YAML_NODES_MAX);
    struct yaml_node *n = arena_alloc(r->arena, sizeof *n);
    if (!n)
        return STATUS_NO_MEMORY;
    n->kind = kind;
    n->line = (unsigned)at.line + 1;
    n->column = (unsigned)at.column + 1;
    n->parent = r->open;
    if (r->key) {
        n->key = r->key;
        n->key_line = (unsigned)r->key_mark.line + 1;
        n->key_column = (unsigned)r->key_mark.column + 1;
        r->key = NULL;
    }
    if (!r->open)
        r->root = n;
    else {
        n->at = r->open->count++;
        if (r->open->last)
            r->open->last->next = n;
        else
            r->open->first = n;
        r->open->last = n;
    }
    *ret = n;
    return STATUS_OK;
}

static enum status copy_text(struct reading *r, const yaml_event_t *e, const char **ret)
{
    const char *bytes = (const char *)e->data.scalar.value;
    size_t len = e->data.scalar.length;
    if (memchr(bytes, 0, len))
        return refuse(r, e->start_mark, "a NUL character is not allowed");
    *ret = arena_memdup(r->arena, bytes, len);
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status take_text(struct reading *r, const yaml_event_t *e)
{
    if (r->open && r->open->kind == YAML_MAP && !r->key) {
        r->key_mark = e->start_mark;
        return copy_text(r, e, &r->key);
    }
    const char *text;
    enum status status = copy_text(r, e, &text);
    if (status)
        return status;
    struct yaml_node *n;
    status = new_node(r, YAML_TEXT, e->start_mark, &n);
    if (status)
        return status;
    n->text = text;
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return STATUS_OK;
}

static enum status open_container(struct reading *r, const yaml_event_t *e, enum yaml_kind kind)
{
    if (r->open && r->open->kind == YAML_MAP && !r->key)
        return refuse(r, e->start_mark, "a key must be plain text");
    if (++r->depth > YAML_DEPTH_MAX)
        return refuse(r, e->start_mark, "nested more than %d levels deep", YAML_DEPTH_MAX);
    struct yaml_node *n;
    enum status status = new_node(r, kind, e->start_mark, &n);
    if (!status)
        r->open = n;
    return status;
}

static int by_key(const void *a, const void *b)
{
    const struct yaml_node *const *x = a, *const *y = b;
    int order = strcmp((*x)->key, (*y)->key);
    return order ? order : ((*x)->at > (*y)->at) - ((*x)->at < (*y)->at);
}

/* Sorted, so that a file with 50,000 keys in one map costs no 50,000 squared. */
static enum status refuse_duplicates(struct reading *r, const struct yaml_node *map)
{
    const struct yaml_node **sorted = arena_alloc(r->arena, (map->count + 1) * sizeof *sorted);
    if (!sorted)
        return STATUS_NO_MEMORY;
    for (const struct yaml_node *n = map->first; n; n = n->next)
        sorted[n->at] = n;
    qsort(sorted, map->count, sizeof *sorted, by_key);
    const struct yaml_node *twice = NULL, *once = NULL;
    for (size_t i = 1; i < map->count; i++)
        if (!strcmp(sorted[i]->key, sorted[i - 1]->key) && (!twice || sorted[i]->at < twice->at)) {
            once = sorted[i - 1];
            twice = sorted[i];
        }
    if (!twice)
        return STATUS_OK;
    yaml_mark_t at = { .line = twice->key_line - 1, .column = twice->key_column - 1 };
    return refuse(r, at, "the key '%.100s' was already given in line %u", twice->key,
                  once->key_line);
}

static enum status close_container(struct reading *r)
{
    struct yaml_node *closed = r->open;
    r->open = closed->parent;
    r->depth--;
    return closed->kind == YAML_MAP ? refuse_duplicates(r, closed) : STATUS_OK;
}

static enum status open_document(struct reading *r, const yaml_event_t *e)
{
    if (r->documents++)
        return refuse(r, e->start_mark, "a second document begins here; one is allowed");
    if (e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end)
        return refuse(r, e->start_mark, "%%TAG is not allowed");
    return STATUS_OK;
}

static enum status refuse_decoration(struct reading *r, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    }
    if (anchor)
        return refuse(r, e->start_mark, "anchors ('&%.60s') are not allowed", (const char *)anchor);
    if (tag)
        return refuse(r, e->start_mark, "tags ('%.60s') are not allowed", (const char *)tag);
    return STATUS_OK;
}

static enum status take_event(struct reading *r, const yaml_event_t *e)
{
    enum status status = refuse_decoration(r, e);
    if (status)
        return status;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return open_document(r, e);
    case YAML_ALIAS_EVENT:
        return refuse(r, e->start_mark, "aliases ('*%.60s') are not allowed",
                      (const char *)e->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        return take_text(r, e);
    case YAML_MAPPING_START_EVENT:
        return open_container(r, e, YAML_MAP);
    case YAML_SEQUENCE_START_EVENT:
        return open_container(r, e, YAML_LIST);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return close_container(r);
    default: /* the stream's and the document's own ends */
        return STATUS_OK;
    }
}

static enum status read_events(struct reading *r)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event))
            return refuse_syntax(r);
        bool end = event.type == YAML_STREAM_END_EVENT;
        enum status status = take_event(r, &event);
        yaml_event_delete(&event);
        if (status || end)
            return status;
    }
}

/* No document at all, or one with nothing in it, is a map without keys. */
static enum status finish(struct reading *r)
{
    if (!r->root) {
        struct yaml_node *n;
        return new_node(r, YAML_MAP, (yaml_mark_t){ 0 }, &n);
    }
    if (r->root->kind == YAML_TEXT && r->root->plain && !r->root->text[0])
        r->root->kind = YAML_MAP;
    return STATUS_OK;
}

enum status yaml_read(struct span text, struct arena *a, const struct yaml_node **ret,
                      struct yaml_problem *problem)
{
    struct reading r = { .text = text, .arena = a, .problem = problem };
    if (text.len > YAML_BYTES_MAX)
        return refuse(&r, (yaml_mark_t){ 0 }, "the file is larger than %d bytes", YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&r.parser))
        return STATUS_NO_MEMORY;
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.at ? text.at : ""),
                                 text.len);
    enum status status = read_events(&r);
    yaml_parser_delete(&r.parser);
    if (!status)
        status = finish(&r);
    if (!status)
        *ret = r.root;
    return status;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    for (const struct yaml_node *n = map->first; n; n = n->next)
        if (n->key && !strcmp(n->key, key))
            return n;
    return NULL;
}
