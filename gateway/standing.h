/* gateway/standing.h -- a backend as the whole process knows it, by name: the operator's
 * word, its limits, its wish to be left alone, and who waits for it.
 *
 * The limits are shared by all loops through atomics and so are exact.  Only who has
 * to wait takes the roster's lock, and so does who ends a call while somebody waits:
 * then the freed place is handed to the first in turn (backends/queue.h) before
 * anybody else can take it.  Nothing is called and no system call made under the lock.
 *
 * A standing belongs to a name and its limits: a reload that changes the limits makes
 * a new one, which inherits the operator's word; one that does not keeps it.
 */
#ifndef MAAS_STANDING_H
#define MAAS_STANDING_H
#include "auth/limits.h"
#include "backends/queue.h"
#include "conf/catalog.h"
#include <pthread.h>

enum word { /* of the operator */
            WORD_ENABLED,
            WORD_DRAINED,  /* no new calls; those that run end */
            WORD_DISABLED, /* likewise, and a restart of the daemon remembers it */
            WORD_COUNT
};

struct standing {
    struct standing *next; /* in the roster */
    unsigned refs;         /* of generations; roster's lock */
    char *name;
    struct limits limits;
    struct limits_state state;
    _Atomic int64_t rest_until_ms; /* it asked not to be called before; monotonic */
    _Atomic enum word word;
    _Atomic uint32_t draining; /* calls that go on after their client has left */
    uint32_t queue_max;
    uint64_t queue_timeout_ms;
    _Atomic uint32_t waiting; /* length of the queue */
    struct queue queue;       /* roster's lock; places are struct wait_place */
};

struct roster {
    pthread_mutex_t lock;
    struct standing *first;
};

void roster_init(struct roster *ro);

/* Main thread.  Each backend's standing in the order of the catalog, kept from before where it
 * may be; NULL: no memory. */
struct standing **roster_enroll(struct roster *ro, const struct catalog *c);
/* Any thread: gives back what roster_enroll returned for `count` backends. */
void roster_dismiss(struct roster *ro, struct standing **all, size_t count);

/* Main thread.  False: there is no such name. */
bool roster_say(struct roster *ro, const char *name, enum word word);
enum word roster_word(struct roster *ro, const char *name); /* WORD_ENABLED when there is none */
const char *word_name(enum word w);                         /* "enabled", "drained", "disabled" */

/* Milliseconds until a call of so many tokens could be taken, were no place missing; 0: now. */
int64_t standing_wait_ms(const struct standing *st, int64_t tokens, int64_t now_ns);
/* A place, a request and the tokens, all or nothing.  False: full, or others come first. */
bool standing_take(struct standing *st, int64_t tokens, int64_t now_ns, struct limits_grant *ret);
/* The same for one who waits there and is the first in turn; roster's lock. */
bool standing_take_turn(struct standing *st, int64_t tokens, int64_t now_ns,
                        struct limits_grant *ret);
/* `used` tokens in the end.  True: somebody waits, see wait_offer. */
bool standing_leave(struct standing *st, struct limits_grant *g, int64_t used, int64_t now_ns);
/* The backend asks not to be called for so long; any longer than REST_MS_MAX is not believed. */
enum { REST_MS_MAX = 5 * 60 * 1000 };
void standing_rest(struct standing *st, int64_t ms, int64_t now_ns);

#endif
