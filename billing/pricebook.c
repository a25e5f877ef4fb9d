/* billing/pricebook.c -- the text is our own, but it comes from a file: it is
 * parsed as strictly as anything else. */
#include "billing/pricebook.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { METER_NAME_BYTES = 64 };

static bool read_meter(const char *at, size_t len, enum meter *ret)
{
    char name[METER_NAME_BYTES];
    if (len >= sizeof name)
        return false;
    memcpy(name, at, len);
    name[len] = '\0';
    *ret = meter_find(name);
    return *ret != METER_COUNT;
}

static const char *read_number(const char *at, char end, int64_t *ret)
{
    char *after;
    if (*at < '0' || *at > '9')
        return NULL;
    errno = 0;
    long long value = strtoll(at, &after, 10);
    if (errno || *after != end)
        return NULL;
    *ret = value;
    return after + 1;
}

/* No model is called `currency`: ids are paths. */
static const char *skip_head(const char *at)
{
    if (strncmp(at, "currency ", 9) != 0)
        return at;
    const char *end = strchr(at, '\n');
    return end ? end + 1 : at;
}

bool pricebook_next(const char **text, struct pricebook_line *ret, bool *ret_bad)
{
    const char *at = skip_head(*text);
    *ret_bad = false;
    if (!*at)
        return false;
    *ret_bad = true;
    const char *model_end = strchr(at, ' ');
    const char *meter_end = model_end ? strchr(model_end + 1, ' ') : NULL;
    if (!meter_end || !read_meter(model_end + 1, (size_t)(meter_end - model_end - 1), &ret->meter))
        return false;
    ret->model = (struct span){ at, (size_t)(model_end - at) };
    const char *per = read_number(meter_end + 1, '/', &ret->price.atoms);
    const char *next = per ? read_number(per, '\n', &ret->price.per_units) : NULL;
    if (!next || ret->price.per_units <= 0)
        return false;
    *ret_bad = false;
    *text = next;
    return true;
}

bool pricebook_find(const char *text, const char *model, enum meter meter, struct price *ret)
{
    struct pricebook_line line;
    bool bad;
    while (pricebook_next(&text, &line, &bad))
        if (line.meter == meter && span_is(line.model, model)) {
            *ret = line.price;
            return true;
        }
    return false;
}
