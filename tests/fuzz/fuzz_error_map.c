/* tests/fuzz/fuzz_error_map.c -- what an upstream says of an error never harms a terminal, a
 * log or the next JSON writer: printable, whole characters, bounded.  The first byte picks the
 * HTTP status, the second the map. */
#include "backends/error_map.h"
#include <assert.h>
#include <stdint.h>

static void check_text(const char *text, size_t size)
{
    size_t len = strnlen(text, size);
    assert(len < size);
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t bytes = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        assert(c >= 0x20 && c != 0x7f && (c < 0x80 || c >= 0xc2) && c < 0xf5);
        assert(!(c == 0xc2 && (unsigned char)text[i + 1] < 0xa0));
        for (size_t k = 1; k < bytes; k++)
            assert(((unsigned char)text[i + k] & 0xc0) == 0x80);
        i += bytes;
    }
    assert(!strstr(text, "sk-secret"));
}

static void check(const struct backend_end *end)
{
    assert(end->status != STATUS_OK && end->status < STATUS_COUNT);
    check_text(end->message, sizeof end->message);
    check_text(end->param, sizeof end->param);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct span body = { (const char *)data + 2, size - 2 };
    struct backend_end end = { 0 };
    char secret[] = "sk-secret";
    const struct catalog_backend conf = { .secret = secret };
    const struct error_map *m = error_map_find(data[1] % ERROR_MAP_COUNT);
    error_map_refused(m, 300 + data[0], body, &conf, &end);
    check(&end);
    for (int first = 0; first < 2; first++) {
        end = (struct backend_end){ 0 };
        if (!error_map_object(m, body, first, &conf, &end))
            continue;
        check(&end);
        assert(!end.untouched);
    }
    return 0;
}
