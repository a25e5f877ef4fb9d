/* conf/reader.h -- how the parts of conf/ read one file together; nobody else's business.
 *
 * Every map of the file is walked by a table of its keys.  The same tables print
 * docs/settings.md, so a key that is not documented cannot be read.
 */
#ifndef MAAS_CONF_READER_H
#define MAAS_CONF_READER_H
#include "base/arena.h"
#include "conf/catalog.h"
#include "conf/conf.h"
#include "conf/value.h"
#include "conf/yaml.h"

struct conf_reader {
    const char *file;                 /* as it is named in messages */
    char *err;                        /* CONF_ERROR_BYTES, one line */
    struct arena *scratch;            /* ends with the reading */
    struct arena *keep;               /* the catalog's own */
    struct catalog_backend *backends; /* sorted by name */
    size_t backend_count;
    bool *backend_used;
    bool unpriced; /* prices are published, not configured */
    const struct catalog_tokenizer *tokenizers;
    size_t tokenizer_count;
};

struct conf_key {
    const char *key;
    enum status (*read)(struct conf_reader *r, const struct conf_key *k,
                        const struct yaml_node *value, void *field);
    size_t offset;       /* of the field in the struct that is walked into */
    const char *expects; /* for people; of a choice: the words themselves, "cancel|drain" */
    uint64_t min, max;   /* of a number; of the bytes of a text; of the elements of a list */
    bool required;
    const char *doc;
};

/* All end with a row without key. */
extern const struct conf_key top_keys[]; /* what stands beside the settings */
extern const struct conf_key backend_keys[], model_keys[], route_keys[], recipe_keys[],
    tensor_keys[], tensor_item_keys[], tokenizer_keys[], price_item_keys[], price_tier_keys[],
    book_keys[], alert_keys[], webhook_keys[];

struct param_row { /* a parameter that a recipe may set */
    const char *key, *expects;
    int64_t min_micros, max_micros; /* of a number; both 0: a text */
    bool whole;
};
extern const struct param_row recipe_params[];

/* Writes "file:line:column: path: sentence" and returns BAD_FIELD.  The place is that of a
 * value or, when the value is a map or a list, of its key. */
enum status conf_fail(struct conf_reader *r, const struct yaml_node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for a key: its place, and the path of the map that it stands in. */
enum status conf_fail_key(struct conf_reader *r, const struct yaml_node *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
enum status conf_fail_unknown(struct conf_reader *r, const struct yaml_node *at, const char *what,
                              const char *const *names, size_t count);
enum status conf_no_memory(struct conf_reader *r);

MUST_CHECK enum status conf_walk(struct conf_reader *r, const struct yaml_node *map,
                                 const struct conf_key *keys, void *out);
MUST_CHECK enum status conf_want(struct conf_reader *r, const struct yaml_node *n,
                                 enum yaml_kind kind);
/* A single value that is not empty unless it is in quotes; borrowed from the tree. */
MUST_CHECK enum status conf_text(struct conf_reader *r, const struct yaml_node *n,
                                 const char **ret);

/* Readers for rows: the comment is the type of the field. */
#define READER(name)                                                  \
    enum status name(struct conf_reader *r, const struct conf_key *k, \
                     const struct yaml_node *value, void *field)
READER(read_text);    /* const char *: one line, kept */
READER(read_lines);   /* const char *: may have several lines */
READER(read_path);    /* const char *: an absolute path */
READER(read_count);   /* uint64_t */
READER(read_count32); /* uint32_t */
READER(read_msec);    /* uint64_t */
READER(read_bool);    /* bool */
READER(read_choice);  /* an enum, in the order of the words */
READER(read_choices); /* unsigned: a bit for each of the words in the list */
READER(read_date);    /* uint64_t, Unix seconds */
READER(read_node);    /* const struct yaml_node *: looked at later */

/* A text made in b, kept in the catalog's memory; NULL: no memory. */
const char *conf_keep(struct conf_reader *r, const struct buf *b);

/* An empty catalog with its own memory. */
struct catalog *catalog_new(struct arena **ret_keep);
/* After the rows of top_keys: names the price book, seals the prices, finds idle backends. */
MUST_CHECK enum status catalog_complete(struct conf_reader *r, const struct yaml_node *root,
                                        struct catalog *c);

bool conf_is_text(const struct conf_row *row); /* char *, else uint64_t */
/* The value of one setting as the file would say it, without quotes; text is for a number. */
const char *conf_value_text(const struct conf_row *row, const struct conf *c,
                            char text[static VALUE_TEXT_BYTES]);

#endif
