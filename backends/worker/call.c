/* backends/worker/call.c -- what an engine may do with a call. */
#include "backends/worker/internal.h"

static const struct maas_usage usage_none = MAAS_USAGE_NONE;

void maas_call_set_data(struct maas_call *call, void *data)
{
    call->data = data;
}

void *maas_call_data(const struct maas_call *call)
{
    return call->data;
}

const struct maas_request *maas_call_request(const struct maas_call *call)
{
    return &call->req;
}

int maas_call_format(struct maas_call *call, const char *content_type, int64_t header_len)
{
    size_t len = strlen(content_type);
    if (call->state != WK_OPEN || call->req.stream || call->data_sent ||
        call->session->version < 2 || !len || len > WIRE_CONTENT_TYPE_MAX ||
        header_len >= WIRE_NOT_TENSORS)
        return MAAS_INVALID;
    call->format = (struct wire_format){
        .header_len = header_len < 0 ? WIRE_NOT_TENSORS : (uint32_t)header_len,
        .content_type_len = (uint16_t)len,
    };
    memcpy(call->content_type, content_type, len + 1);
    call->format_due = true;
    return MAAS_OK;
}

int maas_call_send(struct maas_call *call, const char *bytes, size_t len,
                   const struct maas_usage *so_far)
{
    struct maas_usage before = call->so_far;
    if (so_far)
        call->so_far = *so_far;
    int rc = wk_send(call, len ? bytes : "", len, wk_counts(so_far), false);
    if (rc == MAAS_AGAIN || rc == MAAS_INVALID)
        call->so_far = before;
    return rc;
}

int maas_call_send_usage_event(struct maas_call *call, const char *bytes, size_t len)
{
    return wk_send(call, bytes, len, WIRE_USAGE_EVENT, false);
}

static int end(struct maas_call *call, uint32_t code, const char *message,
               const struct maas_usage *usage)
{
    if (call->state != WK_OPEN)
        return MAAS_INVALID;
    const struct maas_usage *u = usage ? usage : &usage_none;
    wk_journal(call, "final", u);
    wk_final(call, code, message, strlen(message), u);
    return MAAS_OK;
}

int maas_call_finish(struct maas_call *call, const struct maas_usage *usage)
{
    return end(call, call->cancelled ? 499 : 0, "", usage);
}

int maas_call_fail(struct maas_call *call, int code, const char *message,
                   const struct maas_usage *usage)
{
    if (code < 400 || code > 599)
        return MAAS_INVALID;
    return end(call, (uint32_t)code, message ? message : "", usage);
}
