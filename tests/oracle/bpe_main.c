/* tests/oracle/bpe_main.c -- the encoder behind a pipe, for tests/flow/test_bpe_oracle.py.
 *
 *   bpe_oracle RANKS PATTERN       the expression itself when PATTERN is no name of one
 *
 * In: texts, each behind its length in four bytes.  Out: of each the number of its tokens and their
 * ranks, four bytes each; UINT32_MAX for a text that is not counted.  Each is counted in slices of
 * a length that changes, which must make no difference.
 */
#include "base/bpe.h"
#include "base/cleanup.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 64 << 20 };

static char *file_of(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    char *at = malloc(BPE_FILE_BYTES_MAX);
    assert(f && at);
    *ret_len = fread(at, 1, BPE_FILE_BYTES_MAX, f);
    fclose(f);
    return at;
}

static void answer(const struct bpe *b, struct span text, size_t slice)
{
    AUTO(buf_free) struct buf ids;
    struct bpe_run *r = bpe_run_new(b);
    enum bpe_step step = BPE_MORE;
    assert(r);
    buf_init(&ids, (size_t)4 * TEXT_BYTES_MAX);
    bpe_run_collect(r, &ids);
    bpe_run_text(r, text);
    while (step == BPE_MORE)
        step = bpe_run_step(r, slice);
    uint32_t count = step == BPE_DONE ? (uint32_t)bpe_run_tokens(r) : UINT32_MAX;
    assert(step == BPE_FAILED || ids.len == (size_t)4 * count);
    fwrite(&count, sizeof count, 1, stdout);
    if (step == BPE_DONE && count)
        fwrite(ids.at, 1, ids.len, stdout);
    bpe_run_free(r);
}

int main(int argc, char **argv)
{
    static const size_t slices[] = { 1, 7, 100, 4096, SIZE_MAX };
    struct bpe *b;
    char err[BPE_ERROR_BYTES];
    size_t len;
    uint32_t size;
    assert(argc == 3);
    char *file = file_of(argv[1], &len), *text = malloc(TEXT_BYTES_MAX);
    if (!text || bpe_new((struct span){ file, len }, bpe_pattern_find(argv[2]), argv[2], &b, err)) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    free(file);
    for (size_t n = 0; fread(&size, sizeof size, 1, stdin) == 1; n++) {
        assert(size <= TEXT_BYTES_MAX && fread(text, 1, size, stdin) == size);
        answer(b, (struct span){ text, size }, slices[n % 5]);
    }
    free(text);
    bpe_free(b);
    return 0;
}
