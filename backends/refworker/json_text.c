/* backends/refworker/json_text.c -- reading a body, escaping what JSON wants escaped. */
#include "backends/refworker/json_text.h"

json_t *json_body(struct span body, struct fault *fault)
{
    json_error_t where;
    json_t *tree = json_loadb(body.at, body.len, 0, &where);
    if (json_is_object(tree))
        return tree;
    if (tree)
        fault_set(fault, "the body must be one JSON object");
    else
        fault_set(fault, "the body must be one JSON object: %.100s", where.text);
    json_decref(tree);
    return NULL;
}

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
