/* auth/key_text.c -- makes and reads the text of an API key.  Pure but for the dice. */
#include "auth/key_text.h"
#include "base/base32.h"
#include "base/digest.h"
#include <assert.h>
#include <string.h>

enum { NAME_RANDOM_BYTES = 7, SECRET_RANDOM_BYTES = KEY_SECRET_DIGITS * 5 / 8 };

static_assert(KEY_TEXT_LEN < KEY_TEXT_BYTES, "the key and its NUL");
static_assert(NAME_RANDOM_BYTES * 8 >= KEY_NAME_DIGITS * 5, "enough dice for the name");

/* The first 30 bits of the checksum, as six digits and a NUL. */
static void check_digits(const char *text, char digits[static KEY_CHECK_DIGITS + 1])
{
    uint32_t crc = digest_crc32(0, text, KEY_TEXT_LEN - KEY_CHECK_DIGITS);
    const uint8_t bytes[4] = { (uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8),
                               (uint8_t)crc };
    char all[BASE32_TEXT_BYTES(sizeof bytes)];
    base32_encode(bytes, sizeof bytes, all);
    memcpy(digits, all, KEY_CHECK_DIGITS);
    digits[KEY_CHECK_DIGITS] = '\0';
}

void key_text_make(const struct env *env, char text[static KEY_TEXT_BYTES],
                   char name[static KEY_NAME_DIGITS + 1])
{
    uint8_t dice[NAME_RANDOM_BYTES + SECRET_RANDOM_BYTES];
    char digits[BASE32_TEXT_BYTES(SECRET_RANDOM_BYTES)];
    env->random(env->arg, dice, sizeof dice);
    memcpy(text, KEY_PREFIX, KEY_PREFIX_BYTES);

    base32_encode(dice, NAME_RANDOM_BYTES, digits);
    memcpy(name, digits, KEY_NAME_DIGITS);
    name[KEY_NAME_DIGITS] = '\0';
    memcpy(text + KEY_PREFIX_BYTES, digits, KEY_NAME_DIGITS);

    base32_encode(dice + NAME_RANDOM_BYTES, SECRET_RANDOM_BYTES, digits);
    memcpy(text + KEY_PREFIX_BYTES + KEY_NAME_DIGITS, digits, KEY_SECRET_DIGITS);
    check_digits(text, text + KEY_TEXT_LEN - KEY_CHECK_DIGITS);
    digest_wipe(dice, sizeof dice);
    digest_wipe(digits, sizeof digits);
}

bool key_text_read(struct span text, char name[static KEY_NAME_DIGITS + 1])
{
    if (text.len != KEY_TEXT_LEN || memcmp(text.at, KEY_PREFIX, KEY_PREFIX_BYTES) != 0)
        return false;
    char digits[KEY_CHECK_DIGITS + 1];
    check_digits(text.at, digits);
    if (memcmp(text.at + KEY_TEXT_LEN - KEY_CHECK_DIGITS, digits, KEY_CHECK_DIGITS) != 0)
        return false;
    memcpy(name, text.at + KEY_PREFIX_BYTES, KEY_NAME_DIGITS);
    name[KEY_NAME_DIGITS] = '\0';
    return true;
}
