/* gateway/offline.c -- see offline.h. */
#include "gateway/offline.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/env.h"
#include "base/file.h"
#include "billing/report.h"
#include "billing/restore.h"
#include "billing/store.h"
#include "conf/conf.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static int refuse(const char *why)
{
    fprintf(stderr, "maasgated: %s\n", why);
    return 1;
}

/* ---- restore ------------------------------------------------------------------------------- */

/* "MG-2026=57" or, of a document's number, "MG-2026-000057". */
static bool read_number(char *text, struct restore_number *ret)
{
    char *sign = strrchr(text, '='), *end;
    if (!sign)
        sign = strrchr(text, '-');
    if (!sign || sign == text || sign[1] < '0' || sign[1] > '9')
        return false;
    errno = 0;
    ret->last = strtoll(sign + 1, &end, 10);
    *sign = '\0';
    ret->series = text;
    return errno == 0 && *end == '\0' && ret->last < INT64_C(1000000000);
}

/* "INV-2026" or "INV-CN-2026": a slip of the finger would be a gap in a series that is none. */
static bool is_ours(const char *series, const char *text)
{
    size_t len = strlen(series);
    const char *year = strrchr(text, '-');
    return strncmp(text, series, len) == 0 && text[len] == '-' && year && strlen(year) == 5 &&
           strspn(year + 1, "0123456789") == 4 &&
           (year == text + len || strncmp(text + len, "-CN-", 4) == 0);
}

static void tell(json_t *report)
{
    size_t i;
    json_t *lost;
    printf("restored: %" JSON_INTEGER_FORMAT " requests, %" JSON_INTEGER_FORMAT
           " of them in flight at the backup and settled with nothing\n",
           json_integer_value(json_object_get(report, "requests")),
           json_integer_value(json_object_get(report, "orphans")));
    json_array_foreach (json_object_get(report, "numbers_lost"), i, lost)
        printf("lost: documents %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT
               " of series %s; their numbers are not given again\n",
               json_integer_value(json_object_get(lost, "first")),
               json_integer_value(json_object_get(lost, "last")),
               json_string_value(json_object_get(lost, "series")));
    const char *aside = json_string_value(json_object_get(report, "aside"));
    if (*aside)
        printf("the store that was there is %s\n", aside);
    puts("now: look for keys that were revoked, and funds that were added, since the backup "
         "(docs/operator.md)");
}

static int restore(const struct conf *conf, const struct offline_restore *r, char *words[])
{
    struct restore_number numbers[OFFLINE_ISSUED_MAX];
    struct restore_options o = { .dir = conf->state_dir,
                                 .file = r->file,
                                 .currency = conf->currency,
                                 .now_us = env_system.wall_us(env_system.arg),
                                 .issued = numbers };
    char err[256] = "out of memory";
    for (unsigned i = 0; i < r->issued_count; i++) {
        bool none = strcmp(r->issued[i], "none") == 0;
        o.nothing_issued |= none;
        if (!none && !read_number(words[i], &numbers[o.issued_count++]))
            return refuse("--issued wants SERIES=LAST such as MG-2026=57, or none");
    }
    for (unsigned i = 0; i < o.issued_count; i++)
        if (!is_ours(conf->invoice_series, numbers[i].series))
            return refuse("--issued names a series that is not one of invoice_series");
    AUTO(json_decref_ptr) json_t *report = NULL;
    if (restore_run(&o, &report, err) != STATUS_OK)
        return refuse(err);
    tell(report);
    return 0;
}

int offline_restore(const char *conf_path, const struct offline_restore *r)
{
    struct conf *conf = NULL;
    char err[CONF_ERROR_BYTES], *words[OFFLINE_ISSUED_MAX] = { NULL };
    if (conf_load(conf_path, &conf, err) != STATUS_OK)
        return refuse(err);
    for (unsigned i = 0; i < r->issued_count; i++)
        words[i] = strdup(r->issued[i]);
    int code = restore(conf, r, words);
    for (unsigned i = 0; i < r->issued_count; i++)
        free(words[i]);
    conf_free(conf);
    return code;
}

/* ---- audit --------------------------------------------------------------------------------- */

static int audit(struct db *db)
{
    AUTO(json_decref_ptr) json_t *report = NULL;
    char err[256];
    if (db_whole_check(db, err) != STATUS_OK)
        return refuse(err);
    if (audit_run(db, env_system.wall_us(env_system.arg), &report) != STATUS_OK)
        return refuse(db_error(db));
    json_dumpf(report, stdout, JSON_INDENT(2));
    putchar('\n');
    return json_is_true(json_object_get(report, "ok")) ? 0 : 1;
}

static void remove_copy(const char *copy)
{
    static const char *const suffixes[] = { "", "-wal", "-shm" };
    char path[FILE_PATH_BYTES + 8];
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(path, sizeof path, "%s%s", copy, suffixes[i]);
        unlink(path);
    }
}

int offline_audit(const char *file)
{
    struct db *db = NULL;
    char err[256], copy[FILE_PATH_BYTES];
    if ((size_t)snprintf(copy, sizeof copy, "%s.audit", file) >= sizeof copy)
        return refuse("the path of the file is too long");
    bool copied;
    enum status s = store_open_reader(file, copy, &copied, &db, err);
    int code = s ? refuse(err) : audit(db);
    db_close(db);
    if (copied)
        remove_copy(copy);
    return code;
}
