/* backends/refworker/chat.h -- answers chat and completions with n-gram text. */
#ifndef REFWORKER_CHAT_H
#define REFWORKER_CHAT_H
#include "backends/refworker/chat_order.h"
#include "backends/refworker/job.h"
#include "backends/refworker/ngram.h"

void chat_start(struct jobs *jobs, struct maas_call *call, const struct ngram *model,
                const struct chat_limits *limits);
#endif
