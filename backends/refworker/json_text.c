/* backends/refworker/json_text.c -- escaping what JSON wants escaped. */
#include "backends/refworker/json_text.h"

static bool escape(struct buf *out, char c)
{
    if (c == '"' || c == '\\')
        return buf_printf(out, "\\%c", c);
    return buf_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
}

bool json_text(struct buf *out, const char *text)
{
    if (!buf_text(out, "\""))
        return false;
    for (const char *at = text; *at;) {
        size_t plain = 0;
        while ((unsigned char)at[plain] >= 0x20 && at[plain] != '"' && at[plain] != '\\')
            plain++;
        if (!buf_add(out, at, plain) || (at[plain] && !escape(out, at[plain])))
            return false;
        at += plain + (at[plain] != '\0');
    }
    return buf_text(out, "\"");
}
