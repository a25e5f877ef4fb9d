/* conf/yaml.h -- a YAML text as a small tree, strict enough to be trusted.
 *
 * Text is kept as it was written (0123 stays 0123, yes stays yes), and every node
 * knows where it stands.  What libyaml accepts in silence and what nobody needs in
 * a configuration is refused: duplicate keys, anchors and aliases, tags, several
 * documents, keys that are not text, deep nesting, huge files.
 */
#ifndef MAAS_CONF_YAML_H
#define MAAS_CONF_YAML_H
#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>

enum { YAML_DEPTH_MAX = 16, YAML_NODES_MAX = 100000, YAML_BYTES_MAX = 4 << 20 };

enum yaml_kind { YAML_TEXT, YAML_MAP, YAML_LIST };

struct yaml_node {
    enum yaml_kind kind;
    bool plain;            /* text without quotes */
    unsigned line, column; /* from 1 */
    const char *text;      /* of a YAML_TEXT: UTF-8 without NUL bytes */
    const char *key;       /* NULL unless the parent is a map */
    unsigned key_line, key_column;
    size_t at;    /* position in the parent */
    size_t count; /* children */
    struct yaml_node *parent, *first, *last, *next;
};

struct yaml_problem {
    unsigned line, column;
    char text[256];
};

/* The tree lives in the arena.  An empty text is an empty map.  BAD_FIELD and the
 * problem, or NO_MEMORY. */
MUST_CHECK enum status yaml_read(struct span text, struct arena *a, const struct yaml_node **ret,
                                 struct yaml_problem *problem);

/* The value of a map's key; NULL when it has no such key. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

#endif
