/* How long a sound plays: files made here, whose length is known, and files that lie. */
#include "base/buf.h"
#include "base/jscan.h"
#include "gateway/audio.h"
#include "gen/unit_suites.h"
#include <endian.h>
#include <stdio.h>

struct wav {
    uint16_t coding, channels, bits;
    uint32_t rate, frames;
    int lie_align, lie_size; /* put in place of what is right; 0: nothing */
    bool extra, extensible;  /* a chunk before the sound; the long form */
};

static void add16(struct buf *b, uint32_t v)
{
    uint16_t le = htole16((uint16_t)v);
    ck_assert(buf_add(b, &le, 2));
}

static void add32(struct buf *b, uint32_t v)
{
    uint32_t le = htole32(v);
    ck_assert(buf_add(b, &le, 4));
}

static void write_wav(struct buf *b, const struct wav *w)
{
    uint32_t align = w->channels * w->bits / 8u, size = align * w->frames;
    ck_assert(buf_add(b, "RIFF\0\0\0\0WAVE", 12));
    if (w->extra)
        ck_assert(buf_add(b, "LIST\3\0\0\0abc\0", 12));
    ck_assert(buf_add(b, "fmt ", 4));
    add32(b, w->extensible ? 40 : 16);
    add16(b, w->extensible ? 0xfffe : w->coding);
    add16(b, w->channels);
    add32(b, w->rate);
    add32(b, w->rate * align);
    add16(b, w->lie_align ? (uint32_t)w->lie_align : align);
    add16(b, w->bits);
    if (w->extensible) {
        ck_assert(buf_add(b, "\26\0\0\0\0\0\0\0", 8));
        add16(b, w->coding);
        ck_assert(buf_add(b, "\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71", 14));
    }
    ck_assert(buf_add(b, "data", 4));
    add32(b, w->lie_size == -1 ? 0 : w->lie_size ? (uint32_t)w->lie_size : size);
    for (uint32_t i = 0; i < size; i++)
        ck_assert(buf_add(b, "\r", 1));
}

static const struct {
    struct wav wav;
    bool known;
    uint64_t ms;
} wavs[] = {
    { { 1, 1, 16, 16000, 16000, 0, 0, false, false }, true, 1000 },
    { { 1, 2, 16, 44100, 4410, 0, 0, true, false }, true, 100 },
    { { 3, 1, 32, 48000, 24, 0, 0, false, false }, true, 1 }, /* a begun millisecond */
    { { 7, 1, 8, 8000, 8004, 0, 0, false, false }, true, 1001 },
    { { 1, 1, 24, 48000, 48000, 0, 0, false, true }, true, 1000 },
    { { 1, 1, 16, 16000, 1600, 0, -1, false, false },
      true,
      100 }, /* length not known when written */
    { { 1, 1, 16, 16000, 1600, 0, 0x7fffffff, false, false }, true, 100 }, /* more than there is */
    { { 1, 1, 16, 16000, 0, 0, 0, false, false }, true, 0 },
    { { 1, 1, 16, 16000, 1600, 2000, 0, false, false }, false, 0 }, /* two sizes of a sample */
    { { 1, 1, 16, 0, 1600, 0, 0, false, false }, false, 0 },
    { { 2, 1, 4, 16000, 1600, 0, 0, false, false }, false, 0 }, /* compressed */
};

START_TEST(test_wav)
{
    struct buf b;
    uint64_t ms = 0;
    buf_init(&b, 1 << 20);
    write_wav(&b, &wavs[_i].wav);
    ck_assert_int_eq(audio_length_ms(buf_span(&b), &ms), wavs[_i].known);
    if (wavs[_i].known)
        ck_assert_uint_eq(ms, wavs[_i].ms);
    for (size_t n = 0; n < 44 && n < b.len; n++) /* cut anywhere: never read beyond, never known */
        ck_assert(!audio_length_ms((struct span){ b.at, n }, &ms));
    buf_free(&b);
}
END_TEST

/* MPEG 1, layer III, 44100 Hz, 128 kbit/s: 1152 samples in 417 bytes, or 418 when padded. */
static void add_frame(struct buf *b, const char head[static 4], size_t bytes)
{
    char frame[1500] = { 0 };
    memcpy(frame, head, 4);
    ck_assert(buf_add(b, frame, bytes));
}

START_TEST(test_mp3)
{
    struct buf b;
    uint64_t ms;
    buf_init(&b, 1 << 20);
    ck_assert(buf_add(&b, "ID3\4\0\0\0\0\1\0", 10)); /* a tag of 128 bytes */
    for (int i = 0; i < 128; i++)
        ck_assert(buf_add(&b, "\xff", 1));
    for (int i = 0; i < 100; i++)
        add_frame(&b, i % 2 ? "\xff\xfb\x92\0" : "\xff\xfb\x90\0", i % 2 ? 418 : 417);
    ck_assert(audio_length_ms(buf_span(&b), &ms));
    ck_assert_uint_eq(ms, (1152 * 100 * 1000 + 44099) / 44100);
    add_frame(&b, "\xff\xf3\x10\0",
              26 + 0); /* MPEG 2, 22050 Hz, 8 kbit/s: 576 samples in 26 bytes */
    ck_assert(audio_length_ms(buf_span(&b), &ms));
    ck_assert_uint_eq(ms, (1152 * 100 * 1000 + 576 * 2000 + 44099) / 44100);
    char tag[128] = "TAG";
    ck_assert(buf_add(&b, tag, sizeof tag));
    ck_assert(audio_length_ms(buf_span(&b), &ms));
    ck_assert(buf_add(&b, "something else", 14));
    ck_assert(!audio_length_ms(buf_span(&b), &ms)); /* then the rest is not known either */
    buf_free(&b);
}
END_TEST

START_TEST(test_others)
{
    static const char *const files[] = { "",
                                         "R",
                                         "fLaC\0",
                                         "OggS",
                                         "ID3",
                                         "\xff\xfb",
                                         "not sound at all",
                                         "RIFFxxxxWAVE",
                                         "RIFFxxxxWAVEdata" };
    uint64_t ms;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        ck_assert(!audio_length_ms((struct span){ files[i], strlen(files[i]) }, &ms));
}
END_TEST

/* ---- characters ---- */

static const struct {
    const char *json;
    size_t count;
} texts[] = {
    { "\"\"", 0 },
    { "\"hello\"", 5 },
    { "\"na\xc3\xafve\"", 5 },
    { "\"\xe4\xbd\xa0\xe5\xa5\xbd\"", 2 },
    { "\"\xf0\x9f\x98\x80!\"", 2 },
    { "\"\\ud83d\\ude00!\"", 2 },
    { "\"\\u4f60\\n\\\"\\\\\"", 4 },
    { "\"e\xcc\x81\"", 2 }, /* a letter and a mark: two code points */
    { "\"\\u00e9\xc3\xa9x\"", 3 },
};

START_TEST(test_code_points)
{
    char body[100];
    struct jscan_error e;
    struct jfield f = { .key = "input" };
    snprintf(body, sizeof body, "{\"input\":%s}", texts[_i].json);
    ck_assert_int_eq(jscan_object((struct span){ body, strlen(body) }, &f, 1, &e), STATUS_OK);
    ck_assert_uint_eq(jscan_code_points(&f), texts[_i].count);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof *(table)))

Suite *audio_suite(void)
{
    Suite *s = suite_create("audio");
    TCase *t = tcase_create("lengths");
    tcase_add_loop_test(t, test_wav, 0, ROWS(wavs));
    tcase_add_test(t, test_mp3);
    tcase_add_test(t, test_others);
    tcase_add_loop_test(t, test_code_points, 0, ROWS(texts));
    suite_add_tcase(s, t);
    return s;
}
