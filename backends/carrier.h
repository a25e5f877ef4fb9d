/* backends/carrier.h -- how frames travel between a session and its worker, and nothing else.
 *
 * A carrier's struct begins with its struct session.  reserve() and commit() are
 * one step: what was reserved is written and committed before anything else.
 */
#ifndef MAAS_CARRIER_H
#define MAAS_CARRIER_H
#include "backends/wire.h"
#include <stdbool.h>

struct session;

struct carrier {
    void (*dial)(struct session *s); /* ends in session_connected or session_lost, now or later */
    bool (*accept)(struct session *s,
                   const struct wire_accept *a); /* sends ACCEPT; a's ring sizes filled in by it */
    void (*readable)(struct session *s);
    void (*drain)(struct session *s); /* frames to session_frame, within s->budget */
    void (*wake)(struct session *s);  /* the loop has slept */
    bool (*rest)(struct session *s);  /* sends what waits; false: the loop may not sleep yet */
    uint32_t (*room)(struct session *s);
    uint8_t *(*reserve)(struct session *s, uint32_t len); /* len <= room() */
    void (*commit)(struct session *s, const struct wire_head *h);
    void (*last_words)(struct session *s); /* the worker has gone: what it had sent before */
    void (*hang_up)(struct session *s);    /* gives back what belongs to the connection */
    void (*free)(struct session *s);
};
#endif
