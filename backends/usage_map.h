/* backends/usage_map.h -- where an upstream says what was used, as rows; read into our meters.  Pure.
 *
 * Vendors' totals mostly include their parts (prompt tokens include cached, image and
 * audio ones); our meters are disjoint, so a row says which other meter counts it, too,
 * and it is taken out of there, never below zero.  0 is a value; absent and null are "not
 * reported".  A number that cannot be (negative, a fraction, a string, above 10^9)
 * is not reported either, and makes the reading suspect.
 */
#ifndef MAAS_USAGE_MAP_H
#define MAAS_USAGE_MAP_H
#include "base/jscan.h"
#include "base/usage.h"
#include "conf/catalog.h"

#define USAGE_QTY_MAX INT64_C(1000000000)
enum {
    USAGE_FIELDS_MAX = 6, /* at the top of an answer */
    USAGE_KEYS_MAX = 24,  /* of a usage object */
    USAGE_SUBS_MAX = 8,   /* of one object in it */
    USAGE_DEPTH_MAX = 4,
    USAGE_OBJECTS_MAX = 2,
};

enum usage_how {
    USAGE_NUMBER,
    USAGE_SECONDS,  /* perhaps with a fraction; milliseconds, rounded down */
    USAGE_ELEMENTS, /* of an array */
    USAGE_REST,     /* all that is left of `within`; needs no key */
};

/* Of several rows for one meter the first that is reported counts.  Rows with the same list of keys
 * and a sub stand together; no key stands in two lists. */
struct usage_row {
    enum meter meter;
    enum usage_how how;
    const char *const *keys; /* members of the usage object, NULL at the end: the first one that is
                                there */
    const char *sub;         /* a member of that; NULL: itself */
    enum meter within;       /* an earlier row's that counts it, too; 0: none does */
    bool shared;   /* a part that another part of `within` may count, too: more than is left of it
                      is cut without suspicion */
    unsigned only; /* capabilities; 0: all */
    bool at_top;   /* its one key is a member of the whole answer */
};

struct usage_map {
    const char *objects[USAGE_OBJECTS_MAX][USAGE_DEPTH_MAX]; /* paths of usage objects */
    const struct usage_row *rows;
    size_t count;
    const char *shapes; /* the request's list of tensors, whose shapes are counted; NULL: none */
};

struct usage_reading {
    struct usage usage; /* nothing present: nothing was reported */
    bool suspect;       /* a number was left out or cut because it cannot be */
};

const struct usage_map *usage_map_find(enum usage_map_id id);

/* The top-level members that the map reads, to be found in one scan of the answer: of an event,
 * or of a whole answer.  Returns how many. */
size_t usage_map_fields(const struct usage_map *m, bool whole,
                        struct jfield fields[static USAGE_FIELDS_MAX]);
/* The same fields after jscan_object has accepted the text. */
struct usage_reading usage_map_read(const struct usage_map *m, enum capability capability,
                                    bool whole, const struct jfield *fields);
/* Is one of the usage objects there? */
bool usage_map_told(const struct usage_map *m, const struct jfield *fields);
/* What the request itself says is used: elements of its tensors.  `json` is a request's JSON. */
void usage_map_request(const struct usage_map *m, struct span json, struct usage_reading *u);

/* Usage in a stream is cumulative, so the last one wins; but a counter that runs backwards is a
 * lie of one of the two: false, and *total stays what it was. */
MUST_CHECK bool usage_advance(struct usage *total, const struct usage *next);
#endif
