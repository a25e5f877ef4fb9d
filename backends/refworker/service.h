/* backends/refworker/service.h -- which model answers which request. */
#ifndef REFWORKER_SERVICE_H
#define REFWORKER_SERVICE_H
#include "backends/refworker/chat_order.h"
#include "backends/refworker/job.h"
#include "backends/refworker/models.h"

struct service {
    struct models models;
    struct jobs jobs;
    struct prefix_cache *prefix; /* NULL: off */
    uint32_t token_delay_ms;
};

/* The functions take a struct service as their `arg`. */
extern const struct maas_handler service_handler;

/* The names of all models, separated by ", ". */
void service_names(const struct service *s, char *text, size_t size);
#endif
