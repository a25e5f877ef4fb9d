/* cli/store.c -- copies of the store. */
#include "base/cleanup.h"
#include "cli/cli.h"
#include <inttypes.h>
#include <limits.h>

/* The daemon has another working directory. */
static enum exit_code make_absolute(json_t *args, const char *key)
{
    char here[PATH_MAX], whole[2 * PATH_MAX];
    const char *path = json_string_value(json_object_get(args, key));
    if (*path == '/')
        return EXIT_OK;
    if (!getcwd(here, sizeof here)) {
        perror("maasgate: the working directory");
        return EXIT_USAGE;
    }
    snprintf(whole, sizeof whole, "%s/%s", here, path);
    return json_object_set_new(args, key, json_string(whole)) == 0 ? EXIT_OK : EXIT_USAGE;
}

static int64_t number_of(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static enum exit_code show_backup(json_t *result)
{
    printf("%s: %" PRId64 " requests, %" PRId64 " bytes, up to %s\nsha256 %s\n",
           text_of(result, "file"), number_of(result, "requests"), number_of(result, "bytes"),
           text_of(result, "newest"), text_of(result, "sha256"));
    return show_audit(json_object_get(result, "audit"));
}

enum exit_code run_backup(const struct session *s, json_t *args)
{
    AUTO(json_decref_ptr) json_t *result = NULL;
    enum exit_code code = make_absolute(args, "file");
    if (code == EXIT_OK)
        code = ask(s, "backup", args, &result);
    if (code != EXIT_OK)
        return code;
    if (!s->json)
        return show_backup(result);
    json_dumpf(result, stdout, JSON_INDENT(2));
    putchar('\n');
    return verdict_audit(json_object_get(result, "audit"));
}

enum exit_code show_archive(json_t *result)
{
    if (!*text_of(result, "month"))
        return puts("no month is due"), EXIT_OK;
    printf("%s: %" PRId64 " requests, %" PRId64 " bytes, now in %s\nsha256 %s\n",
           text_of(result, "month"), number_of(result, "requests"), number_of(result, "bytes"),
           text_of(result, "file"), text_of(result, "sha256"));
    return EXIT_OK;
}

enum exit_code show_archives(json_t *result)
{
    static const struct column columns[] = {
        { "MONTH", "month", false, NULL },      { "STATE", "state", false, NULL },
        { "REQUESTS", "requests", true, NULL }, { "BYTES", "bytes", true, NULL },
        { "CREATED", "created", false, NULL },  { "SHA256", "sha256", false, NULL },
        { "FILE", "file", false, NULL },        { 0 },
    };
    table_print(json_object_get(result, "archives"), columns);
    return EXIT_OK;
}
