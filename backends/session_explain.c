/* backends/session_explain.c -- see session_explain.h. */
#include "backends/session_explain.h"
#include "backends/session.h"
#include <errno.h>

static const char check_worker[] =
    "check that the worker runs, that 'address' is where it listens, and that this daemon's user "
    "may connect there";
static const char check_protocol[] =
    "something answers there, but not as a worker of this gateway: try `maasgate worker-test`, or "
    "another version of the worker";
static const char check_stuck[] = "the worker is connected, but stuck: look at it, or restart it";

const char *session_explain_dial(int error)
{
    switch (error) {
    case ENOENT:
        return "there is no socket of that name";
    case EACCES:
    case EPERM:
        return "this daemon's user may not open the worker's socket: see its mode and group";
    case EPROTOTYPE:
        return "the worker listens there for the other transport: shm or socket";
    case EMFILE:
    case ENFILE:
        return "no descriptor is left for it";
    default:
        return "nobody listens on the worker's socket";
    }
}

static const char *why(const struct session *s)
{
    return s->base.trouble[0] ? s->base.trouble : "it has not been reached yet";
}

static void connected(const struct session *s, struct trace *t)
{
    trace_ok(t, TRACE_CONNECT, "%s", s->base.conf->address);
}

void session_explain(struct backend *b, struct trace *t)
{
    const struct session *s = (const struct session *)b;
    bool greeted = s->state == SESSION_HELLO || s->state == SESSION_READY ||
                   (s->state == SESSION_DOWN && s->failed_greeting);
    if (s->state == SESSION_UP)
        connected(s, t);
    if (s->state == SESSION_UP && s->suspect) {
        trace_failed(t, TRACE_HANDSHAKE, check_stuck, "the worker does not answer PING");
    } else if (s->state == SESSION_UP) {
        trace_ok(t, TRACE_HANDSHAKE, "%s, version %u of the protocol, %u calls at once",
                 s->base.worker[0] ? s->base.worker : "a worker without a name", s->version,
                 s->slots);
    } else if (greeted) {
        connected(s, t);
        trace_failed(t, TRACE_HANDSHAKE, check_protocol, "%s", why(s));
    } else {
        trace_failed(t, TRACE_CONNECT, check_worker, "%s", why(s));
    }
}
