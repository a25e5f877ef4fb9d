/* base/bpe_words.c -- the pattern that cuts a text into words; the one door to PCRE2.
 *
 * Without its JIT: our unit forbids memory that is written and run.  The expressions of
 * tiktoken's encodings are written for Rust's regular expressions, which know a newer
 * Unicode than Debian's PCRE2 and count U+180E as no space.  Each is therefore compiled
 * twice: with PCRE2's own classes, and with what is missing in them spelled out, which is
 * four times slower and used only for a text that has such a character.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/bpe_parts.h"
#include "base/cleanup.h"
#include "base/utf8.h"
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Of one word: backtracking over the longest word that is counted, three times.  A step of PCRE2
     * is some ten nanoseconds. */
    STEPS_MAX = 3 * BPE_WORD_BYTES_MAX,
    HEAP_KIB_MAX = 4096,
    EXPRESSION_BYTES_MAX = 32 << 10,
};

struct bpe_words {
    pcre2_code *plain, *newer; /* newer: NULL when it is the operator's own expression */
    pcre2_match_context *limits;
};

struct bpe_match {
    const struct bpe_words *words;
    const pcre2_code *code; /* for this text */
    struct span text;
    pcre2_match_data *data;
};

/* ---- characters that have come since Unicode 14 ---- */

enum newer {
    NEWER_UPPER = 1,
    NEWER_LOWER = 2,
    NEWER_LETTER = 4,
    NEWER_MARK = 8,
    NEWER_NUMBER = 16
};

/* clang-format off */
static const struct range {
    uint32_t from, to;
    enum newer is;
} newer[] = { /* in order; without effect where PCRE2 knows them */
    { 0x897, 0x897, NEWER_MARK },
    { 0xCF3, 0xCF3, NEWER_MARK },
    { 0xECE, 0xECE, NEWER_MARK },
    { 0x1C89, 0x1C89, NEWER_UPPER },
    { 0x1C8A, 0x1C8A, NEWER_LOWER },
    { 0xA7CB, 0xA7CC, NEWER_UPPER },
    { 0xA7CD, 0xA7CD, NEWER_LOWER },
    { 0xA7DA, 0xA7DA, NEWER_UPPER },
    { 0xA7DB, 0xA7DB, NEWER_LOWER },
    { 0xA7DC, 0xA7DC, NEWER_UPPER },
    { 0x105C0, 0x105F3, NEWER_LETTER },
    { 0x10D40, 0x10D49, NEWER_NUMBER },
    { 0x10D4A, 0x10D4F, NEWER_LETTER },
    { 0x10D50, 0x10D65, NEWER_UPPER },
    { 0x10D69, 0x10D6D, NEWER_MARK },
    { 0x10D6F, 0x10D6F, NEWER_LETTER },
    { 0x10D70, 0x10D85, NEWER_LOWER },
    { 0x10EC2, 0x10EC4, NEWER_LETTER },
    { 0x10EFC, 0x10EFF, NEWER_MARK },
    { 0x1123F, 0x11240, NEWER_LETTER },
    { 0x11241, 0x11241, NEWER_MARK },
    { 0x11380, 0x11389, NEWER_LETTER },
    { 0x1138B, 0x1138B, NEWER_LETTER },
    { 0x1138E, 0x1138E, NEWER_LETTER },
    { 0x11390, 0x113B5, NEWER_LETTER },
    { 0x113B7, 0x113B7, NEWER_LETTER },
    { 0x113B8, 0x113C0, NEWER_MARK },
    { 0x113C2, 0x113C2, NEWER_MARK },
    { 0x113C5, 0x113C5, NEWER_MARK },
    { 0x113C7, 0x113CA, NEWER_MARK },
    { 0x113CC, 0x113D0, NEWER_MARK },
    { 0x113D1, 0x113D1, NEWER_LETTER },
    { 0x113D2, 0x113D2, NEWER_MARK },
    { 0x113D3, 0x113D3, NEWER_LETTER },
    { 0x113E1, 0x113E2, NEWER_MARK },
    { 0x116D0, 0x116E3, NEWER_NUMBER },
    { 0x11BC0, 0x11BE0, NEWER_LETTER },
    { 0x11BF0, 0x11BF9, NEWER_NUMBER },
    { 0x11F00, 0x11F01, NEWER_MARK },
    { 0x11F02, 0x11F02, NEWER_LETTER },
    { 0x11F03, 0x11F03, NEWER_MARK },
    { 0x11F04, 0x11F10, NEWER_LETTER },
    { 0x11F12, 0x11F33, NEWER_LETTER },
    { 0x11F34, 0x11F3A, NEWER_MARK },
    { 0x11F3E, 0x11F42, NEWER_MARK },
    { 0x11F50, 0x11F59, NEWER_NUMBER },
    { 0x11F5A, 0x11F5A, NEWER_MARK },
    { 0x1342F, 0x1342F, NEWER_LETTER },
    { 0x13440, 0x13440, NEWER_MARK },
    { 0x13441, 0x13446, NEWER_LETTER },
    { 0x13447, 0x13455, NEWER_MARK },
    { 0x13460, 0x143FA, NEWER_LETTER },
    { 0x16100, 0x1611D, NEWER_LETTER },
    { 0x1611E, 0x1612F, NEWER_MARK },
    { 0x16130, 0x16139, NEWER_NUMBER },
    { 0x16D40, 0x16D6C, NEWER_LETTER },
    { 0x16D70, 0x16D79, NEWER_NUMBER },
    { 0x18CFF, 0x18CFF, NEWER_LETTER },
    { 0x1B132, 0x1B132, NEWER_LETTER },
    { 0x1B155, 0x1B155, NEWER_LETTER },
    { 0x1CCF0, 0x1CCF9, NEWER_NUMBER },
    { 0x1D2C0, 0x1D2D3, NEWER_NUMBER },
    { 0x1DF25, 0x1DF2A, NEWER_LOWER },
    { 0x1E030, 0x1E06D, NEWER_LETTER },
    { 0x1E08F, 0x1E08F, NEWER_MARK },
    { 0x1E4D0, 0x1E4EB, NEWER_LETTER },
    { 0x1E4EC, 0x1E4EF, NEWER_MARK },
    { 0x1E4F0, 0x1E4F9, NEWER_NUMBER },
    { 0x1E5D0, 0x1E5ED, NEWER_LETTER },
    { 0x1E5EE, 0x1E5EF, NEWER_MARK },
    { 0x1E5F0, 0x1E5F0, NEWER_LETTER },
    { 0x1E5F1, 0x1E5FA, NEWER_NUMBER },
    { 0x2B739, 0x2B739, NEWER_LETTER },
    { 0x2EBF0, 0x2EE5D, NEWER_LETTER },
    { 0x31350, 0x323AF, NEWER_LETTER },
};
/* clang-format on */

enum { NEWER = sizeof newer / sizeof *newer, MONGOLIAN_SEPARATOR = 0x180E };

static bool is_newer(uint32_t code)
{
    size_t lo = 0, hi = NEWER;
    if (code < 0x897 || (code >= 0x3000 && code < 0xA7CB)) /* most of what is not ASCII */
        return false;
    while (lo < hi) { /* the first range that does not end before it */
        size_t middle = (lo + hi) / 2;
        if (newer[middle].to < code)
            lo = middle + 1;
        else
            hi = middle;
    }
    return code == MONGOLIAN_SEPARATOR || (lo < NEWER && newer[lo].from <= code);
}

static bool has_newer(struct span text)
{
    const char *p = text.len ? text.at : "", *end = p + text.len;
    uint64_t eight;
    while (p < end) {
        if (end - p >= 8 && (memcpy(&eight, p, 8), !(eight & UINT64_C(0x8080808080808080))))
            p += 8;
        else if (is_newer(utf8_next(&p, end)))
            return true;
    }
    return false;
}

/* ---- the expressions ---- */

/* @L letters, @N numbers, @S spaces; @U letters that may begin a word as capitals do, @D as small
 * ones do: all stand inside a class. */
static const struct {
    const char *name, *text;
} patterns[] = {
#define X(NAME, name) [BPE_##NAME] = { name, PATTERN_##NAME },
#define PATTERN_CL100K                                                               \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n@L@N]?+[@L]++|[@N]{1,3}+| ?[^@S@L@N]++[\\r\\n]*+" \
    "|[@S]++\\z|[@S]*[\\r\\n]|[@S]+(?![^@S])|[@S]"
#define PATTERN_O200K                                        \
    "[^\\r\\n@L@N]?[@U]*[@D]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"  \
    "|[^\\r\\n@L@N]?[@U]+[@D]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?" \
    "|[@N]{1,3}| ?[^@S@L@N]+[\\r\\n/]*|[@S]*[\\r\\n]+|[@S]+(?![^@S])|[@S]+"
#define PATTERN_R50K                                                                \
    "'(?:[sdmt]|ll|ve|re)| ?[@L]++| ?[@N]++| ?[^@S@L@N]++|[@S]++\\z|[@S]+(?![^@S])" \
    "|[@S]"
    BPE_PATTERNS(X)
#undef X
};

enum { LETTERS = NEWER_UPPER | NEWER_LOWER | NEWER_LETTER };
static const struct {
    char name;
    const char *plain, *exact;
    unsigned newer;
} classes[] = {
    { 'L', "\\p{L}", "\\p{L}", LETTERS },
    { 'N', "\\p{N}", "\\p{N}", NEWER_NUMBER },
    { 'S', "\\s",
      "\\t-\\r \\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}",
      0 },
    { 'U', "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}", "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}",
      NEWER_UPPER | NEWER_LETTER | NEWER_MARK },
    { 'D', "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}", "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}",
      NEWER_LOWER | NEWER_LETTER | NEWER_MARK },
};

static bool add_class(struct buf *b, char name, bool exact)
{
    size_t i = 0;
    while (classes[i].name != name)
        i++;
    bool ok = buf_text(b, exact ? classes[i].exact : classes[i].plain);
    for (size_t k = 0; exact && ok && k < NEWER; k++)
        if (newer[k].is & classes[i].newer)
            ok = buf_printf(b, "\\x{%X}-\\x{%X}", newer[k].from, newer[k].to);
    return ok;
}

static bool write_expression(struct buf *b, const char *pattern, bool exact)
{
    bool ok = true;
    for (const char *at = pattern; ok && *at; at++)
        ok = *at == '@' ? add_class(b, *++at, exact) : buf_add(b, at, 1);
    return ok;
}

enum bpe_pattern bpe_pattern_find(const char *name)
{
    unsigned i = 0;
    while (i < BPE_OWN && strcmp(patterns[i].name, name) != 0)
        i++;
    return (enum bpe_pattern)i;
}

/* ---- compiled ---- */

static enum status compile(struct span text, pcre2_code **ret, char err[static BPE_ERROR_BYTES])
{
    int number;
    size_t at;
    uint32_t empty = 0;
    char why[120];
    *ret = pcre2_compile((PCRE2_SPTR)text.at, text.len,
                         PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &number, &at, NULL);
    if (!*ret) {
        pcre2_get_error_message(number, (PCRE2_UCHAR *)why, sizeof why);
        snprintf(err, BPE_ERROR_BYTES, "is not a regular expression: %s at byte %zu", why, at);
        return number == PCRE2_ERROR_NOMEMORY ? STATUS_NO_MEMORY : STATUS_BAD_FIELD;
    }
    pcre2_pattern_info(*ret, PCRE2_INFO_MATCHEMPTY, &empty);
    if (!empty)
        return STATUS_OK;
    snprintf(err, BPE_ERROR_BYTES, "can match nothing at all; a word has at least a byte");
    return STATUS_BAD_FIELD;
}

static enum status compile_known(struct bpe_words *w, enum bpe_pattern pattern,
                                 char err[static BPE_ERROR_BYTES])
{
    enum status s = STATUS_OK;
    for (int exact = 0; s == STATUS_OK && exact < 2; exact++) {
        AUTO(buf_free) struct buf b;
        buf_init(&b, EXPRESSION_BYTES_MAX);
        s = write_expression(&b, patterns[pattern].text, exact)
                ? compile(buf_span(&b), exact ? &w->newer : &w->plain, err)
                : STATUS_NO_MEMORY;
    }
    return s;
}

static pcre2_match_context *limits_new(void)
{
    pcre2_match_context *c = pcre2_match_context_create(NULL);
    if (c) {
        pcre2_set_match_limit(c, STEPS_MAX);
        pcre2_set_heap_limit(c, HEAP_KIB_MAX);
    }
    return c;
}

enum status bpe_words_new(enum bpe_pattern pattern, const char *own, struct bpe_words **ret,
                          char err[static BPE_ERROR_BYTES])
{
    struct bpe_words *w = calloc(1, sizeof *w);
    snprintf(err, BPE_ERROR_BYTES, "out of memory");
    if (w)
        w->limits = limits_new();
    enum status s = !w || !w->limits ? STATUS_NO_MEMORY
                    : pattern == BPE_OWN
                        ? compile((struct span){ own, strlen(own) }, &w->plain, err)
                        : compile_known(w, pattern, err);
    if (s == STATUS_OK)
        *ret = w;
    else
        bpe_words_free(w);
    return s;
}

enum status bpe_check_pattern(const char *own, char err[static BPE_ERROR_BYTES])
{
    struct bpe_words *w = NULL;
    enum status s = bpe_words_new(BPE_OWN, own, &w, err);
    bpe_words_free(w);
    return s;
}

void bpe_words_free(struct bpe_words *w)
{
    if (!w)
        return;
    pcre2_code_free(w->plain);
    pcre2_code_free(w->newer);
    pcre2_match_context_free(w->limits);
    free(w);
}

/* ---- words ---- */

struct bpe_match *bpe_match_new(const struct bpe_words *w)
{
    struct bpe_match *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->words = w;
    m->data = pcre2_match_data_create(1, NULL); /* the whole match is all that is asked for */
    if (m->data)
        return m;
    free(m);
    return NULL;
}

void bpe_match_free(struct bpe_match *m)
{
    if (!m)
        return;
    pcre2_match_data_free(m->data);
    free(m);
}

void bpe_match_text(struct bpe_match *m, struct span text)
{
    m->text = text;
    m->code = m->words->newer && has_newer(text) ? m->words->newer : m->words->plain;
}

enum bpe_found bpe_match_next(struct bpe_match *m, size_t at, struct span *ret)
{
    int n = pcre2_match(m->code, (PCRE2_SPTR)m->text.at, m->text.len, at, PCRE2_NO_UTF_CHECK,
                        m->data, m->words->limits);
    if (n < 0)
        return n == PCRE2_ERROR_NOMATCH ? BPE_NONE : BPE_TROUBLE;
    const size_t *place = pcre2_get_ovector_pointer(m->data);
    if (place[1] <= place[0] || place[0] < at) /* \K in a lookaround */
        return BPE_TROUBLE;
    *ret = (struct span){ m->text.at + place[0], place[1] - place[0] };
    return BPE_FOUND;
}
