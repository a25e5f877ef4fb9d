/* cli/worker_test.c -- `maasgate worker-test`: no daemon is asked, the worker itself is. */
#include "backends/workertest/worker_test.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include <errno.h>
#include <string.h>

enum { PATIENCE_MS = 5000, BODY_BYTES_MAX = 32 << 20 };

/* One JSON object; else a sentence on stderr. */
static bool read_body(const char *path, struct buf *ret)
{
    char bytes[65536];
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "maasgate: %s: %s\n", path, strerror(errno));
        return false;
    }
    bool fits = true;
    for (size_t n; fits && (n = fread(bytes, 1, sizeof bytes, f)) > 0;)
        fits = buf_add(ret, bytes, n);
    fclose(f);
    AUTO(json_decref_ptr)
    json_t *json = fits && ret->at ? json_loadb(ret->at, ret->len, 0, NULL) : NULL;
    if (!json_is_object(json))
        fprintf(stderr, "maasgate: %s is not one JSON object\n", path);
    return json_is_object(json);
}

enum exit_code run_worker_test(const struct session *s, json_t *args)
{
    AUTO(buf_free) struct buf body;
    const char *path = json_string_value(json_object_get(args, "body"));
    const char *can = json_string_value(json_object_get(args, "ask"));
    const char *only = json_string_value(json_object_get(args, "only"));
    const json_t *patience = json_object_get(args, "patience_ms");
    bool usage = false;
    (void)s;
    buf_init(&body, BODY_BYTES_MAX);
    if (path && !read_body(path, &body))
        return EXIT_USAGE;
    struct worker_test t = {
        .address = json_string_value(json_object_get(args, "address")),
        .ask = can ? can : "chat=default",
        .body = buf_span(&body),
        .only = only ? only : "",
        .patience_ms = patience ? (int)json_integer_value(patience) : PATIENCE_MS,
        .out = stdout,
    };
    bool ok = worker_test_run(&t, &usage);
    return usage ? EXIT_USAGE : ok ? EXIT_OK : EXIT_REFUSED;
}
