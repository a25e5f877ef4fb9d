/* backends/openai_usage.h -- OpenAI's usage object to our disjoint meters.  Pure.
 *
 * Their totals include their parts (prompt includes cached, cache-write, image and
 * audio, completion includes reasoning, image and audio); ours are disjoint, so
 * parts are subtracted, never below zero.  0 is a value; absent and null are "not reported".  A number
 * that cannot be (negative, a fraction, a string, above 10^9) is not reported.
 */
#ifndef MAAS_OPENAI_USAGE_H
#define MAAS_OPENAI_USAGE_H
#include "base/jscan.h"
#include "base/usage.h"

#define OPENAI_USAGE_MAX INT64_C(1000000000)

struct openai_usage {
    struct usage usage; /* nothing present: nothing was reported */
    bool suspect;       /* a number was left out or cut because it cannot be */
};

/* `field` is the `usage` member of an object that jscan_object has accepted.
 * Understands prompt_/completion_tokens and, of images and audio, input_/output_tokens. */
struct openai_usage openai_usage_read(const struct jfield *field);

/* An images answer: one image for each element of its `data` member; output tokens that are
 * not told apart are those of the images. */
void openai_usage_images(const struct jfield *data, struct openai_usage *u);

/* Usage in a stream is cumulative, so the last one wins; but a counter that runs
 * backwards is a lie of one of the two: false, and *total stays what it was. */
MUST_CHECK bool openai_usage_advance(struct usage *total, const struct usage *next);

/* An event that certainly carries no output (no text, no reasoning, no arguments of a
 * tool): a role, a finish reason, a keep-alive. */
bool openai_event_silent(struct span event);
#endif
