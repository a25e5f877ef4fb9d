/* base/digest.h -- digests, keyed digests, random bytes and wiping, by OpenSSL.
 *
 * Nothing here fails towards the caller: a library without SHA-256 or without
 * randomness is a machine that must not serve, so the process dies.
 */
#ifndef MAAS_DIGEST_H
#define MAAS_DIGEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_HEX_BYTES = 2 * DIGEST_BYTES + 1 };

void digest_sha256(const void *bytes, size_t len, uint8_t ret[static DIGEST_BYTES]);
/* Of what is left of an open file; false: it cannot be read (errno). */
bool digest_sha256_fd(int fd, int64_t *ret_len, uint8_t ret[static DIGEST_BYTES]);

/* The same of bytes that come in pieces. */
struct digest_run {
    uint64_t state[14]; /* the library's */
};
void digest_begin(struct digest_run *d);
void digest_add(struct digest_run *d, const void *bytes, size_t len);
void digest_end(struct digest_run *d, uint8_t ret[static DIGEST_BYTES]);

/* A secret made ready once: two compression states.  Read-only afterwards, so
 * all threads may share it.  Holds secret material: wipe it. */
struct hmac_key {
    uint32_t inner[8], outer[8];
};
void hmac_key_init(struct hmac_key *k, const void *secret, size_t len);
void hmac_key_wipe(struct hmac_key *k);
void hmac_sha256(const struct hmac_key *k, const void *bytes, size_t len,
                 uint8_t ret[static DIGEST_BYTES]);

/* Takes the same time wherever the difference is. */
bool digest_equal(const void *a, const void *b, size_t len);
void digest_random(void *bytes, size_t len);
void digest_wipe(void *bytes, size_t len);

/* CRC-32 as in zlib and PNG; crc is 0 to begin with, then what the last call returned. */
uint32_t digest_crc32(uint32_t crc, const void *bytes, size_t len);

/* Lower case, 2 * len + 1 bytes.  Returns text. */
char *digest_hex(const void *bytes, size_t len, char *text);
#endif
