/* backends/session_explain.h -- how far it is to a worker, told step by step. */
#ifndef MAAS_SESSION_EXPLAIN_H
#define MAAS_SESSION_EXPLAIN_H
#include "backends/backend.h"

void session_explain(struct backend *b, struct trace *t);
/* Why a worker's unix socket cannot be had; `error` is errno of socket() or connect(). */
const char *session_explain_dial(int error);

#endif
