/* tests/faults/canaries/answer.c -- reading answers byte by byte, and looking through each. */
#include "tests/faults/canaries/canaries.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void answer_begin(struct client *c)
{
    c->part = PART_HEAD;
    c->text_len = c->head_len = c->line_len = 0;
    c->text[0] = '\0';
}

/* ---- looking ---- */

static void tell_leak(const struct client *c, const char *found, const char *own)
{
    tally.leaks++;
    fprintf(stderr, "fault-canaries: LEAK: %.*s in the answer to %s (request %u of %u)\n%.*s\n",
            CANARY_BYTES, found, own, c->ask_done + 1, c->ask_count, (int)c->text_len, c->text);
}

/* How often the request's own canary is there; any other is a leak. */
static unsigned count_canaries(const struct client *c)
{
    const char *own = c->asks[c->ask_done].canary, *at = c->text, *end = c->text + c->text_len;
    unsigned n = 0;
    while ((at = memmem(at, (size_t)(end - at), "canary-", 7))) {
        size_t len = (size_t)(end - at) < CANARY_BYTES ? (size_t)(end - at) : CANARY_BYTES;
        if (memcmp(at, own, len) != 0)
            tell_leak(c, at, own);
        n += len == CANARY_BYTES;
        at += 7;
    }
    tally.canaries += n;
    return n;
}

void answer_look(struct client *c)
{
    if (c->ask_done < c->ask_count)
        count_canaries(c);
}

/* ---- the end of one ---- */

static bool is_broken(const struct client *c)
{
    return memmem(c->text + c->head_len, c->text_len - c->head_len, "\"error\":{", 9) != NULL;
}

static void answer_ended(struct client *c)
{
    const struct ask *a = &c->asks[c->ask_done];
    unsigned n = count_canaries(c);
    if (c->status >= 500) {
        tally.refused++; /* a worker has just been killed */
    } else if (c->status != 200) {
        tally.wrong++;
        fprintf(stderr, "fault-canaries: an answer that nobody expects: %.*s\n", (int)c->text_len,
                c->text);
    } else if (is_broken(c)) {
        tally.broken++;
    } else if (n != a->tokens) {
        tally.wrong++;
        fprintf(stderr, "fault-canaries: %u of %u tokens in a whole answer: %.*s\n", n, a->tokens,
                (int)c->text_len, c->text);
    } else {
        tally.whole++;
    }
    c->ask_done++;
    answer_begin(c);
}

/* ---- framing ---- */

static void keep(struct client *c, const char *bytes, size_t len)
{
    errno = 0;
    if (len >= sizeof c->text - c->text_len)
        fail("an answer is too long");
    memcpy(c->text + c->text_len, bytes, len);
    c->text_len += len;
    c->text[c->text_len] = '\0';
}

static void head_ended(struct client *c)
{
    const char *length = strcasestr(c->text, "\r\ncontent-length:");
    c->head_len = c->text_len;
    c->status = (int)strtol(c->text + 9, NULL, 10);
    c->left = length ? strtoull(length + 17, NULL, 10) : 0;
    c->part = length ? PART_LENGTH : PART_SIZE;
    if (length && c->left == 0)
        answer_ended(c);
}

static size_t take_head(struct client *c, const char *bytes)
{
    keep(c, bytes, 1);
    if (c->text_len >= 4 && memcmp(c->text + c->text_len - 4, "\r\n\r\n", 4) == 0)
        head_ended(c);
    return 1;
}

static size_t take_body(struct client *c, const char *bytes, size_t len)
{
    size_t n = len < c->left ? len : (size_t)c->left;
    keep(c, bytes, n);
    c->left -= n;
    if (c->left > 0)
        return n;
    if (c->part == PART_LENGTH)
        answer_ended(c);
    else
        c->part = PART_BREAK;
    return n;
}

/* The size of a chunk, the line break behind it, the empty line at the end. */
static size_t take_line(struct client *c, char byte)
{
    if (c->line_len + 1 >= sizeof c->line)
        fail("a chunk's line is too long");
    c->line[c->line_len++] = byte;
    c->line[c->line_len] = '\0';
    if (byte != '\n')
        return 1;
    c->line_len = 0;
    if (c->part == PART_TRAILER) {
        answer_ended(c);
    } else if (c->part == PART_BREAK) {
        c->part = PART_SIZE;
    } else {
        c->left = strtoull(c->line, NULL, 16);
        c->part = c->left ? PART_CHUNK : PART_TRAILER;
    }
    return 1;
}

void answer_take(struct client *c, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        if (c->ask_done == c->ask_count) {
            tally.wrong++;
            fprintf(stderr, "fault-canaries: bytes after the last answer: %.*s\n", (int)(len - at),
                    bytes + at);
            return;
        }
        if (c->part == PART_HEAD)
            at += take_head(c, bytes + at);
        else if (c->part == PART_LENGTH || c->part == PART_CHUNK)
            at += take_body(c, bytes + at, len - at);
        else
            at += take_line(c, bytes[at]);
    }
}
