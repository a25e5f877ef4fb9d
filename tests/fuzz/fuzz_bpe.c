/* tests/fuzz/fuzz_bpe.c -- a rank file of any bytes, and any text by one that is right.  The first
 * byte picks which, the pattern and the length of the slices. */
#include "base/bpe.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include <assert.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static struct bpe *encoders[BPE_OWN];

static void put_token(struct buf *b, const unsigned char *at, size_t len, unsigned rank)
{
    uint32_t group = (uint32_t)at[0] << 16 | (len > 1 ? (uint32_t)at[1] << 8 : 0);
    bool ok = buf_printf(b, "%c%c%c= %u\n", digits[group >> 18], digits[group >> 12 & 63],
                         len > 1 ? digits[group >> 6 & 63] : '=', rank);
    assert(ok);
}

/* All bytes, and pairs of some. */
static void make(enum bpe_pattern pattern)
{
    AUTO(buf_free) struct buf file;
    char err[BPE_ERROR_BYTES];
    buf_init(&file, 1 << 20);
    for (unsigned i = 0; i < 256; i++)
        put_token(&file, (const unsigned char[]){ (unsigned char)i }, 1, i + 1000);
    for (unsigned i = 0; i < 64; i++)
        put_token(
            &file,
            (const unsigned char[]){ (unsigned char)(" ae\n"[i / 16]),
                                     (unsigned char)(" aeE'1\nst\xC3\xA9\xE4\xBD\xA0./"[i % 16]) },
            2, i);
    enum status s = bpe_new(buf_span(&file), pattern, NULL, &encoders[pattern], err);
    assert(s == STATUS_OK);
}

static uint64_t count(const struct bpe *b, struct span text, size_t slice)
{
    struct bpe_run *r = bpe_run_new(b);
    enum bpe_step step = BPE_MORE;
    assert(r);
    bpe_run_text(r, text);
    while (step == BPE_MORE)
        step = bpe_run_step(r, slice);
    assert(step == BPE_DONE);
    uint64_t tokens = bpe_run_tokens(r);
    bpe_run_free(r);
    return tokens;
}

static void any_text(struct span bytes, unsigned how)
{
    AUTO(buf_free) struct buf text;
    const struct bpe *b = encoders[how % BPE_OWN];
    buf_init(&text, 3 * bytes.len);
    bool ok = utf8_repair(bytes, &text);
    assert(ok && utf8_valid(buf_span(&text)));
    uint64_t all = count(b, buf_span(&text), SIZE_MAX);
    assert(all <= text.len && count(b, buf_span(&text), 1 + how) == all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char err[BPE_ERROR_BYTES];
    struct bpe *b = NULL;
    if (size < 1)
        return 0;
    for (unsigned p = 0; p < BPE_OWN && !encoders[p]; p++)
        make((enum bpe_pattern)p);
    struct span bytes = { (const char *)data + 1, size - 1 };
    if (data[0] & 1)
        any_text(bytes, data[0] / 2);
    else if (bpe_new(bytes, BPE_R50K, NULL, &b, err) == STATUS_OK)
        bpe_free(b);
    return 0;
}
