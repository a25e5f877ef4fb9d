/* backends/http_verdict.c -- how a call over HTTP ended, in our words.
 *
 * `untouched` is the word that lets the gateway try another backend, so it is
 * said only when no byte of the request can have been worked on: nothing was
 * connected (what a server itself says is error_map.h's business).
 */
#include "backends/http_verdict.h"

/* libcurl says "out of memory" of a header line that is too long for it, too. */
static bool is_garbage(CURLcode result)
{
    return result == CURLE_WEIRD_SERVER_REPLY || result == CURLE_UNSUPPORTED_PROTOCOL ||
           result == CURLE_HTTP2 || result == CURLE_HTTP2_STREAM ||
           result == CURLE_BAD_CONTENT_ENCODING || result == CURLE_OUT_OF_MEMORY;
}

void http_verdict_broken(CURLcode result, bool connected, bool answered, struct backend_end *end)
{
    end->untouched = !connected;
    end->unanswered = !answered && !(connected && is_garbage(result));
    if (!connected)
        end->status = result == CURLE_OUT_OF_MEMORY ? STATUS_NO_MEMORY : STATUS_NO_BACKEND;
    else if (is_garbage(result))
        end->status = STATUS_BACKEND_GARBAGE;
    else
        end->status = answered ? STATUS_BACKEND_CUT : STATUS_BACKEND_FAILED;
}

enum health_verdict http_verdict_health(enum status status, bool silent)
{
    switch (status) {
    case STATUS_NO_BACKEND:
    case STATUS_BACKEND_FAILED:
    case STATUS_BACKEND_GARBAGE:
    case STATUS_BACKEND_CUT:
        return HEALTH_BAD;
    case STATUS_DEADLINE:
        return silent ? HEALTH_BAD : HEALTH_UNKNOWN;
    case STATUS_CLIENT_GONE:
    case STATUS_NO_MEMORY:
        return HEALTH_UNKNOWN;
    default:
        return HEALTH_GOOD;
    }
}
