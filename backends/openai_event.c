/* backends/openai_event.c -- see openai_event.h. */
#include "backends/openai_event.h"

/* "key": followed by a string that is not empty. */
static bool says(struct span event, struct span key)
{
    const char *at = event.at, *end = event.at + event.len;
    while ((at = memmem(at, (size_t)(end - at), key.at, key.len))) {
        at += key.len;
        while (at < end && (*at == ' ' || *at == ':'))
            at++;
        if (end - at > 1 && at[0] == '"' && at[1] != '"')
            return true;
    }
    return false;
}

bool openai_event_silent(struct span event)
{
    static const struct span keys[] = { /* the usual one first */
                                        SPAN("\"content\""),   SPAN("\"text\""),
                                        SPAN("\"delta\""),     SPAN("\"reasoning_content\""),
                                        SPAN("\"reasoning\""), SPAN("\"arguments\""),
                                        SPAN("\"name\""),      SPAN("\"refusal\""),
                                        SPAN("\"thinking\""),  SPAN("\"partial_json\""),
                                        SPAN("\"data\""),      SPAN("\"audio\"")
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (says(event, keys[i]))
            return false;
    return true;
}
