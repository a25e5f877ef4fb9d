/* backends/trace.h -- one call told step by step, for an operator who asks (`maasgate backend test`).
 *
 * Whoever takes a step notes how it went; a call that nobody asks about has no trace,
 * and noting does nothing.  Texts are printable and hold no secret.
 */
#ifndef MAAS_TRACE_H
#define MAAS_TRACE_H
#include <stdbool.h>
#include <stdint.h>

enum trace_step {
    TRACE_RESOLVE,
    TRACE_CONNECT,
    TRACE_TLS,
    TRACE_HANDSHAKE, /* of a worker */
    TRACE_SIGN,
    TRACE_ANSWER,
    TRACE_USAGE,
    TRACE_STEPS
};

enum trace_result { TRACE_UNTRIED, TRACE_OK, TRACE_FAILED };

struct trace_note {
    enum trace_result result;
    const char *hint; /* static; what to do about it; NULL: nothing */
    char text[240];
};

struct trace { /* all zero: nothing has been tried */
    struct trace_note step[TRACE_STEPS];
    int http_status;       /* 0: there was none */
    char content_type[64]; /* of an HTTP answer; "" none */
};

const char *trace_step_name(enum trace_step s);

/* t may be NULL. */
void trace_ok(struct trace *t, enum trace_step s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void trace_failed(struct trace *t, enum trace_step s, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The first step that failed; TRACE_STEPS: none has. */
enum trace_step trace_failure(const struct trace *t);

#endif
