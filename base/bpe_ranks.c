/* base/bpe_ranks.c -- the rank file, and which run of bytes is a token. */
#include "base/base64.h"
#include "base/bpe_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS_MAX = 4 * BPE_TOKENS_MAX };

static uint64_t mixed(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

static uint64_t hash(const char *at, size_t len)
{
    uint64_t h = len, word;
    for (; len >= sizeof word; at += sizeof word, len -= sizeof word) {
        memcpy(&word, at, sizeof word);
        h = mixed(h, word);
    }
    word = 0;
    memcpy(&word, at, len);
    h = mixed(h, word) * UINT64_C(0xFF51AFD7ED558CCD);
    return h ^ h >> 32;
}

/* Its own slot, or the empty one where it would be. */
static struct bpe_slot *slot_of(const struct bpe_ranks *r, const char *at, size_t len)
{
    uint64_t h = hash(at, len);
    uint16_t tag = (uint16_t)(h >> 48);
    struct bpe_slot *slot;
    for (uint32_t i = (uint32_t)h;; i++) {
        slot = &r->slots[i & r->mask];
        if (slot->len == 0 ||
            (slot->tag == tag && slot->len == len && memcmp(r->bytes + slot->at, at, len) == 0))
            return slot;
    }
}

uint32_t bpe_rank(const struct bpe_ranks *r, const char *at, size_t len)
{
    const unsigned char *b = (const unsigned char *)at;
    if (len <= 2)
        return len == 1 ? r->byte[b[0]] : r->pair[b[0] << 8 | b[1]];
    if (len > r->longest)
        return BPE_NO_RANK;
    const struct bpe_slot *slot = slot_of(r, at, len);
    return slot->len ? slot->rank : BPE_NO_RANK;
}

size_t bpe_ranks_memory(const struct bpe_ranks *r)
{
    return sizeof *r + (r->mask + (size_t)1) * sizeof *r->slots + r->bytes_len;
}

void bpe_ranks_free(struct bpe_ranks *r)
{
    free(r->slots);
    free(r->bytes);
}

/* ---- the file ---- */

struct reader {
    struct bpe_ranks *ranks;
    unsigned char *seen; /* a bit a rank */
    size_t line;
    char *err;
};

static enum status wrong(const struct reader *f, const char *what)
{
    snprintf(f->err, BPE_ERROR_BYTES, "line %zu: %s", f->line, what);
    return STATUS_BAD_FIELD;
}

static bool read_rank(struct span text, uint32_t *ret)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || n >= RANKS_MAX)
            return false;
        n = 10 * n + (uint32_t)(text.at[i] - '0');
    }
    *ret = n;
    return text.len > 0 && n < RANKS_MAX;
}

static enum status add(struct reader *f, size_t at, size_t len, uint32_t rank)
{
    struct bpe_ranks *r = f->ranks;
    const unsigned char *b = (const unsigned char *)r->bytes + at;
    struct bpe_slot *slot = slot_of(r, r->bytes + at, len);
    if (slot->len)
        return wrong(f, "this token has stood before");
    if (f->seen[rank / 8] >> rank % 8 & 1)
        return wrong(f, "this rank has stood before");
    f->seen[rank / 8] |= (unsigned char)(1 << rank % 8);
    *slot = (struct bpe_slot){ .at = (uint32_t)at,
                               .rank = rank,
                               .len = (uint16_t)len,
                               .tag = (uint16_t)(hash(r->bytes + at, len) >> 48) };
    if (len == 1)
        r->byte[b[0]] = rank;
    else if (len == 2)
        r->pair[b[0] << 8 | b[1]] = rank;
    r->longest = len > r->longest ? len : r->longest;
    r->bytes_len += len;
    r->count++;
    return STATUS_OK;
}

static enum status read_line(struct reader *f, struct span line)
{
    const char *space = memchr(line.at, ' ', line.len);
    size_t token = space ? (size_t)(space - line.at) : 0;
    struct bpe_ranks *r = f->ranks;
    uint32_t rank;
    if (token == 0 || !read_rank((struct span){ line.at + token + 1, line.len - token - 1 }, &rank))
        return wrong(f, "expected a token in base64, a space and its rank, a number below 4194304");
    if (token > (BPE_TOKEN_BYTES_MAX + 2) / 3 * 4)
        return wrong(f, "a token has at most 1024 bytes");
    size_t len = base64_decode((struct span){ line.at, token }, r->bytes + r->bytes_len);
    if (len == 0 || len > BPE_TOKEN_BYTES_MAX)
        return wrong(f, "this is no token in base64");
    if (r->count == BPE_TOKENS_MAX)
        return wrong(f, "more than 1048576 tokens");
    return add(f, r->bytes_len, len, rank);
}

static enum status read_lines(struct reader *f, struct span file)
{
    const char *at = file.at, *end = file.at + file.len;
    enum status s = STATUS_OK;
    while (s == STATUS_OK && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *next = stop ? stop + 1 : end;
        size_t len = (size_t)((stop ? stop : end) - at);
        if (len && at[len - 1] == '\r')
            len--;
        f->line++;
        if (len)
            s = read_line(f, (struct span){ at, len });
        at = next;
    }
    return s;
}

/* Without a token for each byte there would be texts that are not made of tokens. */
static enum status check_bytes(struct reader *f)
{
    for (unsigned i = 0; i < 256; i++)
        if (f->ranks->byte[i] == BPE_NO_RANK) {
            snprintf(f->err, BPE_ERROR_BYTES, "there is no token for the byte 0x%02X alone", i);
            return STATUS_BAD_FIELD;
        }
    return STATUS_OK;
}

static size_t lines_of(struct span file)
{
    size_t lines = 1;
    for (const char *at = file.at; at && (at = memchr(at, '\n', file.len - (size_t)(at - file.at)));
         at++)
        lines++;
    return lines;
}

enum status bpe_ranks_read(struct bpe_ranks *r, struct span file, char err[static BPE_ERROR_BYTES])
{
    size_t lines = lines_of(file), room = 512;
    while (room < 2 * (lines < BPE_TOKENS_MAX ? lines : BPE_TOKENS_MAX))
        room *= 2;
    *r = (struct bpe_ranks){ .mask = (uint32_t)room - 1 };
    memset(r->byte, 0xFF, sizeof r->byte);
    memset(r->pair, 0xFF, sizeof r->pair);
    r->slots = calloc(room, sizeof *r->slots);
    r->bytes = malloc(file.len + 4); /* base64 is longer than what it says */
    struct reader f = { r, calloc(1, RANKS_MAX / 8), 0, err };
    enum status s = STATUS_NO_MEMORY;
    snprintf(err, BPE_ERROR_BYTES, "out of memory");
    if (r->slots && r->bytes && f.seen)
        s = read_lines(&f, file);
    free(f.seen);
    return s == STATUS_OK ? check_bytes(&f) : s;
}
