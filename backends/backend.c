/* backends/backend.c -- what is the same for every driver. */
#include "backends/backend.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void backend_trouble(struct backend *b, const char *fmt, ...)
{
    char text[BACKEND_TROUBLE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p; p++) /* names in certificates are the other side's choice */
        if (*p < 0x20 || *p > 0x7e)
            *p = '?';
    if (strcmp(text, b->trouble) == 0)
        return;
    memcpy(b->trouble, text, sizeof text);
    b->troubles++;
}

void backend_no_trouble(struct backend *b)
{
    if (!b->trouble[0])
        return;
    b->trouble[0] = '\0';
    b->troubles++;
}
