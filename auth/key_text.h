/* auth/key_text.h -- the shape of an API key.
 *
 * "sk-maas-" + 10 base32 digits that name it + 32 random ones (160 bits) + 6
 * digits (30 bits) of CRC-32 over all before.  The checksum is public: it turns
 * typing errors and guesses away before any secret is touched, and lets secret
 * scanners recognise a leaked key without asking anyone.
 */
#ifndef MAAS_KEY_TEXT_H
#define MAAS_KEY_TEXT_H
#include "base/env.h"
#include "base/span.h"
#include <stdbool.h>

#define KEY_PREFIX "sk-maas-"

enum {
    KEY_PREFIX_BYTES = sizeof KEY_PREFIX - 1,
    KEY_NAME_DIGITS = 10,
    KEY_SECRET_DIGITS = 32,
    KEY_CHECK_DIGITS = 6,
    KEY_TEXT_LEN = KEY_PREFIX_BYTES + KEY_NAME_DIGITS + KEY_SECRET_DIGITS + KEY_CHECK_DIGITS,
    KEY_TEXT_BYTES = 64,
};

/* A new key and its public name, both with a NUL. */
void key_text_make(const struct env *env, char text[static KEY_TEXT_BYTES],
                   char name[static KEY_NAME_DIGITS + 1]);

/* Length, prefix and checksum are right: the name.  Says nothing about who knows the key. */
bool key_text_read(struct span text, char name[static KEY_NAME_DIGITS + 1]);
#endif
