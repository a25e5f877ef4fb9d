/* base/status.h -- every way an operation or a request can end, one row each.
 *
 * The row is the single source: the enum, the HTTP code, the error `type` and
 * `code` of the OpenAI error object, whether a client should retry, and the
 * sentence for the caller all come from here.  docs/errors.md is generated from
 * it.  Below gateway/ only the enum is used; the HTTP columns are data there.
 */
#ifndef MAAS_STATUS_H
#define MAAS_STATUS_H

/* What the x-should-retry header says: nothing, "true" or "false". */
enum status_retry { RETRY_UNSAID, RETRY_YES, RETRY_NO };

/* clang-format off */
/*    name                http  type                       code                           retry         sentence */
#define STATUS_MAP(X)                                                                                                                              \
    X(OK,                 200, "",                        "ok",                          RETRY_UNSAID, "done")                                      \
    X(BAD_REQUEST,        400, "invalid_request_error",   "invalid_request",             RETRY_NO,     "the request is not valid")                  \
    X(BAD_FRAMING,        400, "invalid_request_error",   "invalid_http_framing",        RETRY_NO,     "the HTTP framing of the request is ambiguous or malformed") \
    X(BAD_JSON,           400, "invalid_request_error",   "invalid_json",                RETRY_NO,     "the body is not valid JSON")                \
    X(BAD_FORM,           400, "invalid_request_error",   "invalid_form",                RETRY_NO,     "the body is not a valid form")              \
    X(BAD_FIELD,          400, "invalid_request_error",   "invalid_value",               RETRY_NO,     "a field has a value that is not allowed")   \
    X(MISSING_FIELD,      400, "invalid_request_error",   "missing_required_parameter",  RETRY_NO,     "a required field is missing")               \
    X(UNSUPPORTED_FIELD,  400, "invalid_request_error",   "unsupported_parameter",       RETRY_NO,     "a field is not supported here")             \
    X(TOO_LARGE_FOR_LIMIT,400, "invalid_request_error",   "request_too_large_for_limit", RETRY_NO,     "the request can never fit the key's limit") \
    X(CONTEXT_LENGTH,     400, "invalid_request_error",   "context_length_exceeded",     RETRY_NO,     "the request is longer than the model's context") \
    X(CONTENT_FILTER,     400, "invalid_request_error",   "content_filter",              RETRY_NO,     "the model's provider refused the prompt") \
    X(MODEL_NOT_PRICED,   400, "invalid_request_error",   "model_not_priced",            RETRY_NO,     "the model has no price in the current price book") \
    X(NO_KEY,             401, "authentication_error",    "missing_api_key",             RETRY_NO,     "no API key was sent; use 'Authorization: Bearer KEY'") \
    X(BAD_KEY,            401, "authentication_error",    "invalid_api_key",             RETRY_NO,     "the API key is not valid")                  \
    X(KEY_EXPIRED,        401, "authentication_error",    "expired_api_key",             RETRY_NO,     "the API key has expired")                   \
    X(FORBIDDEN,          403, "permission_error",        "permission_denied",           RETRY_NO,     "the key may not do this")                   \
    X(NOT_FOUND,          404, "invalid_request_error",   "unsupported_endpoint",        RETRY_NO,     "there is no such endpoint")                 \
    X(MODEL_NOT_FOUND,    404, "invalid_request_error",   "model_not_found",             RETRY_NO,     "there is no such model")                    \
    X(METHOD_NOT_ALLOWED, 405, "invalid_request_error",   "method_not_allowed",          RETRY_NO,     "the endpoint does not take this method")    \
    X(REQUEST_TIMEOUT,    408, "invalid_request_error",   "request_timeout",             RETRY_UNSAID, "the request did not arrive in time")        \
    X(CONFLICT,           409, "invalid_request_error",   "conflict",                    RETRY_NO,     "it exists already")                         \
    X(IDEMPOTENCY_RUNS,   409, "invalid_request_error",   "idempotency_in_progress",     RETRY_YES,    "the request with this Idempotency-Key has not ended yet") \
    X(IDEMPOTENCY_GONE,   409, "invalid_request_error",   "idempotency_unreplayable",    RETRY_NO,     "the request with this Idempotency-Key was charged once, and its answer is not kept") \
    X(BODY_TOO_LARGE,     413, "invalid_request_error",   "request_too_large",           RETRY_NO,     "the body is larger than allowed")           \
    X(UNSUPPORTED_MEDIA,  415, "invalid_request_error",   "unsupported_media_type",      RETRY_NO,     "the content type or encoding is not supported") \
    X(IDEMPOTENCY_REUSED, 422, "invalid_request_error",   "idempotency_key_reused",      RETRY_NO,     "the Idempotency-Key was sent with another request") \
    X(HEADERS_TOO_LARGE,  431, "invalid_request_error",   "headers_too_large",           RETRY_NO,     "the path or the headers are larger than allowed") \
    X(RATE_REQUESTS,      429, "requests",                "rate_limit_exceeded",         RETRY_UNSAID, "too many requests")                         \
    X(RATE_TOKENS,        429, "tokens",                  "rate_limit_exceeded",         RETRY_UNSAID, "too many tokens")                           \
    X(RATE_CONCURRENCY,   429, "concurrency",             "rate_limit_exceeded",         RETRY_UNSAID, "too many requests at once")                 \
    X(NO_QUOTA,           429, "insufficient_quota",      "insufficient_quota",          RETRY_NO,     "the project's budget does not cover this request") \
    X(CLIENT_GONE,        499, "client_error",            "client_gone",                 RETRY_UNSAID, "the client closed the connection")          \
    X(INTERNAL,           500, "server_error",            "internal_error",              RETRY_UNSAID, "internal error")                            \
    X(BILLING_OVERFLOW,   500, "server_error",            "billing_overflow",            RETRY_NO,     "the price of the request cannot be computed exactly") \
    X(TE_NOT_SUPPORTED,   501, "invalid_request_error",   "unsupported_transfer_coding", RETRY_NO,     "the transfer coding is not supported")      \
    X(BACKEND_FAILED,     502, "server_error",            "backend_failed",              RETRY_UNSAID, "the model's backend failed")                \
    X(BACKEND_GARBAGE,    502, "server_error",            "backend_protocol_error",      RETRY_UNSAID, "the model's backend answered with something that is not valid") \
    X(BACKEND_CUT,        502, "server_error",            "upstream_cut",                RETRY_NO,     "the model's backend died in the middle of the answer") \
    X(NO_BACKEND,         503, "service_unavailable_error","backend_unavailable",        RETRY_UNSAID, "no backend for this model is available")    \
    X(OVERLOADED,         503, "service_unavailable_error","server_is_overloaded",       RETRY_UNSAID, "the gateway is overloaded")                 \
    X(DRAINING,           503, "service_unavailable_error","draining",                   RETRY_UNSAID, "the gateway is shutting down")              \
    X(NO_MEMORY,          503, "service_unavailable_error","server_is_overloaded",       RETRY_UNSAID, "the request needs more memory than it may have") \
    X(STORE_BUSY,         503, "service_unavailable_error","metering_unavailable",       RETRY_UNSAID, "the ledger is busy")                        \
    X(STORE_FAILED,       503, "service_unavailable_error","metering_unavailable",       RETRY_UNSAID, "the ledger cannot be written, so nothing billable is accepted") \
    X(DEADLINE,           504, "timeout",                 "deadline_exceeded",           RETRY_UNSAID, "the deadline passed before the answer was complete") \
    X(LOOP_DETECTED,      508, "server_error",            "loop_detected",               RETRY_NO,     "the request came back to a gateway that it had left: a backend leads in a circle")
/* clang-format on */

enum status {
#define X(name, http, type, code, retry, text) STATUS_##name,
    STATUS_MAP(X)
#undef X
        STATUS_COUNT
};

struct status_info {
    const char *name; /* "BAD_KEY" */
    int http;
    const char *type, *code;
    enum status_retry retry;
    const char *text;
};

/* Never NULL; asserts that s is a row. */
const struct status_info *status_info(enum status s);

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
