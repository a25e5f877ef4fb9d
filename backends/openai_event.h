/* backends/openai_event.h -- does an event of a stream carry output?  Pure. */
#ifndef MAAS_OPENAI_EVENT_H
#define MAAS_OPENAI_EVENT_H
#include "base/span.h"

/* An event that certainly carries no output (no text, no reasoning, no arguments of a
 * tool): a role, a finish reason, a keep-alive. */
bool openai_event_silent(struct span event);
#endif
