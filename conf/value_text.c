/* conf/value_text.c -- text that two formats agree on, and the name that was meant. */
#include "conf/value.h"
#include <stdint.h>
#include <string.h>

/* One code point of valid UTF-8 (libyaml has checked it). */
static uint32_t code_point(const char **at)
{
    const unsigned char *p = (const unsigned char *)*at;
    unsigned more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
    uint32_t c = more ? *p & (0x3fu >> more) : *p;
    unsigned i = 1;
    for (; i <= more && (p[i] & 0xc0) == 0x80; i++)
        c = c << 6 | (p[i] & 0x3fu);
    *at += i;
    return c;
}

/* JSON must escape the first two groups; YAML folds or refuses the others when they stand bare. */
static bool needs_escape(uint32_t c)
{
    return c == '"' || c == '\\' || c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0x2028 ||
           c == 0x2029 || c == 0xfeff || (c >= 0xd800 && c <= 0xdfff) || c == 0xfffe || c == 0xffff;
}

static bool add_escaped(struct buf *b, uint32_t c)
{
    if (c == '"' || c == '\\')
        return buf_printf(b, "\\%c", (int)c);
    if (c == '\n')
        return buf_text(b, "\\n");
    if (c == '\t')
        return buf_text(b, "\\t");
    return buf_printf(b, "\\u%04x", (unsigned)c);
}

bool value_quote(struct buf *b, const char *text)
{
    if (!buf_text(b, "\""))
        return false;
    while (*text) {
        const char *begin = text;
        uint32_t c = code_point(&text);
        bool added =
            needs_escape(c) ? add_escaped(b, c) : buf_add(b, begin, (size_t)(text - begin));
        if (!added)
            return false;
    }
    return buf_text(b, "\"");
}

enum { WORD_MAX = 24, WORDS_MAX = 8 };

/* Levenshtein's distance of two words, each cut at WORD_MAX. */
static size_t word_distance(struct span a, struct span b)
{
    size_t row[WORD_MAX + 1];
    size_t na = a.len < WORD_MAX ? a.len : WORD_MAX, nb = b.len < WORD_MAX ? b.len : WORD_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t change = diagonal + (a.at[i - 1] != b.at[j - 1]);
            diagonal = row[j];
            size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < shift ? change : shift;
        }
    }
    return row[nb];
}

static size_t split(const char *text, struct span words[static WORDS_MAX])
{
    size_t n = 0;
    while (n < WORDS_MAX) {
        size_t len = strcspn(text, "_-");
        words[n++] = (struct span){ text, len };
        if (!text[len])
            break;
        text += len + 1;
    }
    return n;
}

/* By words in any order, because what is remembered of `body_bytes_max` is "body" and
 * "max": each word costs its distance to the nearest one, a word too few or too many 1. */
static size_t name_distance(const char *text, const char *name)
{
    struct span want[WORDS_MAX], have[WORDS_MAX];
    size_t wanted = split(text, want), had = split(name, have);
    size_t words = wanted > had ? wanted - had : had - wanted;
    for (size_t i = 0; i < wanted; i++) {
        size_t best = want[i].len + 1;
        for (size_t j = 0; j < had; j++) {
            size_t d = word_distance(want[i], have[j]);
            best = d < best ? d : best;
        }
        words += best;
    }
    size_t whole =
        word_distance((struct span){ text, strlen(text) }, (struct span){ name, strlen(name) });
    return words < whole ? words : whole;
}

const char *value_nearest(const char *text, const char *const *names, size_t count)
{
    size_t best = 1 + strlen(text) / 3;
    const char *nearest = NULL;
    if (!*text)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t d = name_distance(text, names[i]);
        if (d < best || (d == best && !nearest)) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}
