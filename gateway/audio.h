/* gateway/audio.h -- how long a sound file plays, from its own structure.
 *
 * Only where that structure cannot say another length than a decoder finds: the
 * samples of PCM in WAV, the frames of MPEG audio.  A length that a file merely
 * declares (MP4, WebM, Ogg, FLAC) is not believed: it would set the price. */
#ifndef MAAS_AUDIO_H
#define MAAS_AUDIO_H
#include "base/span.h"
#include "base/status.h"
#include <stdint.h>

/* Milliseconds, a begun one counts.  False: it is of another kind, or broken. */
MUST_CHECK bool audio_length_ms(struct span file, uint64_t *ret);

#endif
