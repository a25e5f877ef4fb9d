/* backends/refworker/pieces.c -- cutting text into pieces. */
#include "backends/refworker/pieces.h"
#include <assert.h>

enum kind { MARK, WORD, BLANK, BREAK };

static enum kind kind_of(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return WORD;
    if (c == ' ' || c == '\t')
        return BLANK;
    if (c == '\n' || c == '\r')
        return BREAK;
    return c == '\'' || c == '_' || (unsigned char)c >= 0x80 ? WORD : MARK;
}

/* Bytes of the UTF-8 character that this byte begins; 1 for anything that begins none. */
static size_t char_len(char c)
{
    unsigned char u = (unsigned char)c;
    if (u >= 0xf0)
        return 4;
    if (u >= 0xe0)
        return 3;
    return u >= 0xc0 ? 2 : 1;
}

static size_t word_len(const char *at, size_t from, size_t len)
{
    size_t end = from;
    while (end < len && kind_of(at[end]) == WORD && end + char_len(at[end]) <= len)
        end += char_len(at[end]);
    return end > from ? end : from + 1; /* a character cut off by the end of the text */
}

static size_t run_len(const char *at, size_t from, size_t len, enum kind kind)
{
    size_t end = from + 1;
    while (end < len && kind_of(at[end]) == kind && (kind != MARK || at[end] == at[from]))
        end++;
    return end;
}

size_t piece_len(struct span text)
{
    assert(text.len > 0);
    size_t len = text.len < PIECE_BYTES_MAX ? text.len : PIECE_BYTES_MAX;
    bool spaced = text.at[0] == ' ' && len > 1 && kind_of(text.at[1]) <= WORD;
    enum kind kind = kind_of(text.at[spaced]);
    if (kind == WORD)
        return word_len(text.at, spaced, len);
    size_t end = run_len(text.at, spaced, len, kind);
    /* The last blank of a run belongs to the word that follows. */
    bool lends = kind == BLANK && end > 1 && text.at[end - 1] == ' ' && end < text.len &&
                 kind_of(text.at[end]) <= WORD;
    return lends ? end - 1 : end;
}

uint32_t pieces_count(struct span text)
{
    uint32_t count = 0;
    while (text.len > 0) {
        size_t n = piece_len(text);
        text = (struct span){ text.at + n, text.len - n };
        count++;
    }
    return count;
}
