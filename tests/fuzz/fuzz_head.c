/* Any bytes as a request's head: "METHOD TARGET\nName: value\n...".  The guard and
 * the routes must survive them, and what passes must have one meaning. */
#include "base/arena.h"
#include "gateway/guard.h"
#include "gateway/routes.h"
#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span take_until(struct span *rest, char end)
{
    const char *at = rest->len ? memchr(rest->at, end, rest->len) : NULL;
    struct span taken = { rest->at, at ? (size_t)(at - rest->at) : rest->len };
    size_t skip = taken.len + (at != NULL);
    *rest = (struct span){ rest->at + skip, rest->len - skip };
    return taken;
}

static void match(struct span method, struct span path)
{
    static const char *const methods[] = { "GET", "POST", "HEAD", "DELETE" };
    struct arena *a = arena_new(1 << 20);
    struct target t = { .row = NULL };
    const char *allow = NULL;
    enum status s = route_match(methods[method.len % 4], path, a, &t, &allow);
    if (s == STATUS_OK) {
        assert(t.row && path.at[0] == '/');
        assert(!memmem(path.at, path.len, "/..", 3) && !memchr(path.at, '\0', path.len));
        assert(!t.model.len || !memchr(t.model.at, '\0', t.model.len));
    }
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = { (const char *)data, size };
    struct span method = take_until(&rest, ' ');
    match(method, take_until(&rest, '\n'));
    struct guard g = { .fields = 0 };
    while (rest.len > 0) {
        struct span line = take_until(&rest, '\n');
        struct span name = take_until(&line, ':');
        guard_header(&g, name, line, 100);
    }
    if (guard_finish(&g, "HTTP/1.1", true) == STATUS_OK)
        assert(g.hosts == 1 && g.lengths + g.codings <= 1 && g.fields <= 100);
    return 0;
}
