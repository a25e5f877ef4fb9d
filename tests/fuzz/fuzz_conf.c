/* tests/fuzz/fuzz_conf.c -- any bytes as a configuration file: refused with one line, or
 * accepted, and then what is printed is accepted again and prints the same. */
#include "conf/catalog.h"
#include "conf/conf.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static char *printed(const struct conf *c, size_t *ret_len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_len);
    assert(out);
    conf_print(c, out);
    fclose(out);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct conf *first = NULL, *second = NULL;
    char err[CONF_ERROR_BYTES] = "";
    if (conf_parse("fuzz.yaml", (const char *)bytes, len, &first, err)) {
        assert(!first && err[0] && !strchr(err, '\n') && strlen(err) < sizeof err);
        return 0;
    }
    size_t once_len, twice_len;
    char *once = printed(first, &once_len);
    assert(conf_parse("printed.yaml", once, once_len, &second, err) == STATUS_OK);
    char *twice = printed(second, &twice_len);
    assert(once_len == twice_len && !memcmp(once, twice, once_len));
    assert(!strcmp(first->catalog->price_text, second->catalog->price_text));
    assert(conf_may_reload(first, second, err));
    conf_free(first);
    conf_free(second);
    free(once);
    free(twice);
    return 0;
}
