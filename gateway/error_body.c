/* gateway/error_body.c -- see error_body.h. */
#include "gateway/error_body.h"
#include <string.h>

bool json_quote(struct buf *out, const char *text, size_t len)
{
    bool ok = buf_add(out, "\"", 1);
    for (size_t i = 0; ok && i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            ok = buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            ok = buf_printf(out, "\\u%04x", c);
        else
            ok = buf_add(out, c < 0x7f ? (const char *)&c : "?", 1);
    }
    return ok && buf_add(out, "\"", 1);
}

static bool quote_or_null(struct buf *out, const char *text)
{
    return text && *text ? json_quote(out, text, strlen(text)) : buf_text(out, "null");
}

/* By the HTTP status alone, as Anthropic's clients tell their errors apart. */
static const char *anthropic_type(int http)
{
    return http == 401   ? "authentication_error"
           : http == 402 ? "billing_error"
           : http == 403 ? "permission_error"
           : http == 404 ? "not_found_error"
           : http == 413 ? "request_too_large"
           : http == 429 ? "rate_limit_error"
           : http == 503 ? "overloaded_error"
           : http == 504 ? "timeout_error"
           : http < 500  ? "invalid_request_error"
                         : "api_error";
}

static bool anthropic_body(struct buf *out, int http, const char *sentence)
{
    return buf_text(out, "{\"type\":\"error\",\"error\":{\"type\":") &&
           quote_or_null(out, anthropic_type(http)) && buf_text(out, ",\"message\":") &&
           quote_or_null(out, sentence) && buf_text(out, "}}");
}

bool error_body(struct buf *out, enum error_shape shape, enum status s, const char *message,
                const char *param)
{
    const struct status_info *i = status_info(s);
    const char *sentence = message && *message ? message : i->text;
    if (shape == ERRORS_ANTHROPIC)
        return anthropic_body(out, i->http, sentence);
    if (shape != ERRORS_OPENAI)
        return buf_text(out, shape == ERRORS_OIP ? "{\"error\":" : "{\"message\":") &&
               quote_or_null(out, sentence) && buf_text(out, "}");
    return buf_text(out, "{\"error\":{\"message\":") && quote_or_null(out, sentence) &&
           buf_text(out, ",\"type\":") && quote_or_null(out, i->type) &&
           buf_text(out, ",\"param\":") && quote_or_null(out, param) &&
           buf_text(out, ",\"code\":") && quote_or_null(out, i->code) && buf_text(out, "}}");
}
