/* gateway/words.h -- which backends the operator has disabled, over a restart.
 *
 * One name a line in state_dir/disabled_backends.  Main thread. */
#ifndef MAAS_WORDS_H
#define MAAS_WORDS_H
#include "base/status.h"

struct daemon;

/* At the start, when the backends are on the roster.  A name that is not there any more is left
 * out.  On failure err says why. */
MUST_CHECK enum status words_load(struct daemon *d, char err[static 256]);
/* After a change: on disk when this returns OK. */
MUST_CHECK enum status words_store(struct daemon *d, char err[static 256]);

#endif
