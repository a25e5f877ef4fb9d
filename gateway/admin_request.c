/* gateway/admin_request.c -- see admin_request.h. */
#include "gateway/admin_request.h"
#include "billing/trace.h"
#include "gateway/admin_spec.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_BYTES_MAX = 64, RID_DIGITS = RID_TEXT_BYTES - 5 };

const struct json_spec admin_request_args[] = { TEXT(request, true, ID_BYTES_MAX), END };

/* As a worker knows it. */
static bool read_number(const char *text, rid_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *ret > 0;
}

/* Of x-request-id, or as a body has it: chatcmpl-, cmpl-, msg_ and so on, before the same digits. */
static bool read_id(const char *text, rid_t *ret)
{
    char id[RID_TEXT_BYTES];
    if (strspn(text, "0123456789") > RID_DIGITS)
        return read_number(text, ret);
    size_t len = strlen(text);
    const char *digits = len > RID_DIGITS ? text + len - RID_DIGITS : text;
    if (digits > text && digits[-1] != '_' && digits[-1] != '-')
        return false;
    snprintf(id, sizeof id, "req_%s", digits);
    return rid_parse(id, ret);
}

enum status run_request_get(struct admin_job *job, struct db *db, int64_t now_us)
{
    const char *id = job->args.request;
    char month[TRACE_MONTH_BYTES] = "";
    rid_t rid;
    (void)now_us;
    if (!read_id(id, &rid))
        return admin_refuse(job, STATUS_BAD_FIELD, "request",
                            "'%s' is not an id such as req_0an9vgmhm0wx8", id);
    enum status s = trace_request(db, rid, &job->result, month);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(
            job, s, "request",
            "%s was not held for: it was refused before that, or is not of this store", id);
    if (s == STATUS_CONFLICT)
        return admin_refuse(job, s, "request",
                            "%s, if it was billed, is in the archive of %s (maasgate archive list)",
                            id, month);
    return s;
}
