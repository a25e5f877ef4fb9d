/* tests/fuzz/fuzz_key.c -- any bytes as an API key: never let in unless they are the key,
 * and what reads as a key reads as the same name when it is asked through the keyring. */
#include "auth/keys.h"
#include "base/base32.h"
#include "base/digest.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const uint8_t pepper[PEPPER_BYTES_MIN] = "thirty-two bytes of pepper......";

/* The checksum is public, so the fuzzer is given it: the bytes behind it are reached, too. */
static void check_with_checksum(const struct keyring *r, const uint8_t *bytes)
{
    char text[KEY_TEXT_LEN], digits[BASE32_TEXT_BYTES(4)], name[KEY_NAME_DIGITS + 1];
    size_t checked = KEY_TEXT_LEN - KEY_CHECK_DIGITS;
    memcpy(text, bytes, checked);
    memcpy(text, KEY_PREFIX, KEY_PREFIX_BYTES);
    uint32_t crc = digest_crc32(0, text, checked);
    const uint8_t big_endian[] = { (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                                   (uint8_t)crc };
    memcpy(text + checked, base32_encode(big_endian, sizeof big_endian, digits), KEY_CHECK_DIGITS);
    struct key *k = NULL;
    struct span span = { text, sizeof text };
    assert(key_text_read(span, name));
    assert(memcmp(name, text + KEY_PREFIX_BYTES, KEY_NAME_DIGITS) == 0);
    assert(keyring_check(r, span, 0, &k) == STATUS_BAD_KEY && !k);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static struct keyring *ring;
    if (!ring)
        ring = keyring_new(pepper, sizeof pepper);
    assert(ring);
    struct key *k = NULL;
    enum status status = keyring_check(ring, (struct span){ (const char *)bytes, len }, 0, &k);
    assert(status == (len == 0 ? STATUS_NO_KEY : STATUS_BAD_KEY) && !k);
    if (len >= KEY_TEXT_LEN)
        check_with_checksum(ring, bytes);
    return 0;
}
