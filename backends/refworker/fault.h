/* backends/refworker/fault.h -- why a request is refused, in a sentence for the caller. */
#ifndef REFWORKER_FAULT_H
#define REFWORKER_FAULT_H
#include <stdbool.h>

enum { FAULT_TEXT_BYTES = 200 };

struct fault {
    int code; /* 400: the request is wrong; 500: this worker is out of memory */
    char text[FAULT_TEXT_BYTES];
};

/* Always false, so that a reader can `return fault_set(...)`. */
bool fault_set(struct fault *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool fault_no_memory(struct fault *f);
#endif
