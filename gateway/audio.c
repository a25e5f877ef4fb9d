/* gateway/audio.c -- see audio.h. */
#include "gateway/audio.h"

static uint32_t le16(const char *at)
{
    return (uint32_t)(unsigned char)at[0] | (uint32_t)(unsigned char)at[1] << 8;
}

static uint32_t le32(const char *at)
{
    return le16(at) | le16(at + 2) << 16;
}

static uint32_t be32(const char *at)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

static uint64_t begun_ms(uint64_t units, uint64_t per_second)
{
    return (units * 1000 + per_second - 1) / per_second;
}

/* ---- WAV: RIFF chunks; the samples are all of one size ---- */

/* Bytes a second of samples that lie one after the other; 0: of another coding, or the size of a
 * sample is told in two ways. */
static uint64_t wav_rate(struct span fmt)
{
    enum { PCM = 1, FLOAT = 3, ALAW = 6, MULAW = 7, EXTENSIBLE = 0xfffe };
    if (fmt.len < 16)
        return 0;
    uint32_t coding = le16(fmt.at), channels = le16(fmt.at + 2), bits = le16(fmt.at + 14);
    uint32_t bytes = le16(fmt.at + 12); /* of one sample of all channels */
    if (coding == EXTENSIBLE && fmt.len >= 26)
        coding = le16(fmt.at + 24);
    bool plain = coding == PCM || coding == FLOAT || coding == ALAW || coding == MULAW;
    return plain && bytes * 8 == channels * bits ? (uint64_t)le32(fmt.at + 4) * bytes : 0;
}

static bool wav_ms(struct span f, uint64_t *ret)
{
    uint64_t rate = 0;
    for (size_t at = 12; f.len - at >= 8;) {
        uint64_t size = le32(f.at + at + 4), left = f.len - at - 8;
        struct span chunk = { f.at + at + 8, size < left ? size : left };
        if (memcmp(f.at + at, "fmt ", 4) == 0) {
            rate = wav_rate(chunk);
        } else if (memcmp(f.at + at, "data", 4) == 0) {
            if (size == 0) /* written before the length was known: all that follows */
                chunk.len = left;
            *ret = rate ? begun_ms(chunk.len, rate) : 0;
            return rate > 0;
        }
        if (size >= left)
            return false;
        at += 8 + size + (size & 1);
        if (at > f.len)
            return false;
    }
    return false;
}

/* ---- MPEG audio, layer III: a row of frames ---- */

struct mp3_frame {
    uint32_t bytes, samples, rate;
};

static bool mp3_frame(const char *at, struct mp3_frame *ret)
{
    static const uint16_t kbits_1[] = { 0,   32,  40,  48,  56,  64,  80, 96,
                                        112, 128, 160, 192, 224, 256, 320 };
    static const uint16_t kbits_2[] = {
        0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160
    };
    static const uint32_t rates[] = { 44100, 48000, 32000 };
    uint32_t h = be32(at), version = h >> 19 & 3, bits = h >> 12 & 15, rate = h >> 10 & 3;
    bool first = version == 3; /* MPEG 1; 2 is MPEG 2, 0 is 2.5 */
    if (h >> 21 != 0x7ff || version == 1 || (h >> 17 & 3) != 1 || bits == 0 || bits == 15 ||
        rate == 3)
        return false;
    ret->rate = rates[rate] >> (first ? 0 : version == 2 ? 1 : 2);
    ret->samples = first ? 1152 : 576;
    uint32_t kbits = first ? kbits_1[bits] : kbits_2[bits];
    ret->bytes = ret->samples / 8 * kbits * 1000 / ret->rate + (h >> 9 & 1);
    return true;
}

/* A tag of text before the frames: its length has seven bits a byte. */
static size_t id3_bytes(struct span f)
{
    if (f.len < 10 || memcmp(f.at, "ID3", 3) != 0)
        return 0;
    size_t n = 0;
    for (int i = 6; i < 10; i++)
        n = n << 7 | ((unsigned char)f.at[i] & 0x7f);
    return n + 10;
}

/* The rate may change between frames, so time is added up in units that all rates divide. */
static bool mp3_ms(struct span f, uint64_t *ret)
{
    enum { UNITS = 14112000 }; /* a second: the least common multiple of all nine rates */
    struct mp3_frame frame;
    uint64_t time = 0;
    size_t at = id3_bytes(f);
    while (at < f.len && f.len - at >= 4 && mp3_frame(f.at + at, &frame)) {
        time += (uint64_t)frame.samples * (UNITS / frame.rate);
        at += frame.bytes;
    }
    bool tagged = at <= f.len && f.len - at >= 3 && memcmp(f.at + at, "TAG", 3) == 0;
    *ret = begun_ms(time, UNITS);
    return time > 0 && (at >= f.len || f.len - at < 4 || (tagged && f.len - at <= 128));
}

bool audio_length_ms(struct span file, uint64_t *ret)
{
    if (file.len >= 12 && memcmp(file.at, "RIFF", 4) == 0 && memcmp(file.at + 8, "WAVE", 4) == 0)
        return wav_ms(file, ret);
    return mp3_ms(file, ret);
}
