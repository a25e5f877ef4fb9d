/* gateway/coverage.h -- how many models nobody could serve now.  Loop thread. */
#ifndef MAAS_COVERAGE_H
#define MAAS_COVERAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog_model;
struct loop;
struct snapshot;

/* Counted at most twice a second, however often it is asked: probes need no key. */
struct coverage {
    int64_t counted_ns; /* 0: never */
    const struct snapshot *of;
    size_t models_down;
};

/* Whether a backend of the model, or of the parent that it may fall back to, could take a call. */
bool coverage_has(const struct snapshot *s, const struct catalog_model *m, int64_t now_ns);
size_t coverage_models_down(struct loop *l);

#endif
