/* tests/unit/test_digest.c -- published vectors (FIPS 180-4, RFC 4231, the CRC catalogue). */
#include "base/digest.h"
#include "base/env.h"
#include <check.h>
#include "gen/unit_suites.h"
#include <string.h>

static const struct {
    const char *text, *hex;
} hashes[] = {
    { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
};
enum { HASHES = sizeof hashes / sizeof *hashes };

START_TEST(sha256_vectors)
{
    uint8_t d[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    digest_sha256(hashes[_i].text, strlen(hashes[_i].text), d);
    ck_assert_str_eq(digest_hex(d, sizeof d, hex), hashes[_i].hex);
    struct digest_run run;
    digest_begin(&run);
    for (const char *c = hashes[_i].text; *c; c++)
        digest_add(&run, c, 1);
    digest_end(&run, d);
    ck_assert_str_eq(digest_hex(d, sizeof d, hex), hashes[_i].hex);
}
END_TEST

/* A key or text of one repeated byte when `times` is not 0. */
static const struct {
    const char *key;
    size_t key_times;
    const char *text;
    size_t text_times;
    const char *hex;
} macs[] = {
    { "\x0b", 20, "Hi There", 0,
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
    { "Jefe", 0, "what do ya want for nothing?", 0,
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
    { "\xaa", 20, "\xdd", 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe" },
    { "\xaa", 131, "Test Using Larger Than Block-Size Key - Hash Key First", 0,
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
    { "\xaa", 131,
      "This is a test using a larger than block-size key and a larger than block-size data. "
      "The key needs to be hashed before being used by the HMAC algorithm.",
      0, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
};
enum { MACS = sizeof macs / sizeof *macs };

static size_t fill(char *buf, const char *text, size_t times)
{
    if (times)
        memset(buf, *text, times);
    else
        memcpy(buf, text, strlen(text));
    return times ? times : strlen(text);
}

START_TEST(hmac_vectors)
{
    char key[256], text[256], hex[DIGEST_HEX_BYTES];
    uint8_t d[DIGEST_BYTES];
    struct hmac_key k;
    hmac_key_init(&k, key, fill(key, macs[_i].key, macs[_i].key_times));
    hmac_sha256(&k, text, fill(text, macs[_i].text, macs[_i].text_times), d);
    ck_assert_str_eq(digest_hex(d, sizeof d, hex), macs[_i].hex);
    hmac_key_wipe(&k);
    ck_assert_uint_eq(k.inner[0] | k.outer[7], 0);
}
END_TEST

START_TEST(equal_or_not)
{
    uint8_t a[32] = { 1 }, b[32] = { 1 };
    ck_assert(digest_equal(a, b, sizeof a));
    b[31] ^= 1;
    ck_assert(!digest_equal(a, b, sizeof a));
    ck_assert(digest_equal(a, b, 31));
    ck_assert(digest_equal(a, b, 0));
}
END_TEST

START_TEST(crc32_in_parts)
{
    ck_assert_uint_eq(digest_crc32(0, "123456789", 9), 0xcbf43926);
    ck_assert_uint_eq(digest_crc32(digest_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    ck_assert_uint_eq(digest_crc32(0, "IEND", 4), 0xae426082); /* as every PNG ends */
    ck_assert_uint_eq(digest_crc32(0, "", 0), 0);
}
END_TEST

START_TEST(random_bytes_differ)
{
    uint8_t a[32] = { 0 }, b[32] = { 0 };
    digest_random(a, sizeof a);
    env_system.random(env_system.arg, b, sizeof b);
    ck_assert_mem_ne(a, b, sizeof a);
}
END_TEST

START_TEST(clocks_go_on)
{
    int64_t mono = env_system.mono_ns(env_system.arg), wall = env_system.wall_us(env_system.arg);
    ck_assert_int_gt(mono, 0);
    ck_assert_int_gt(wall, INT64_C(1704067200000000));
    ck_assert_int_ge(env_system.mono_ns(env_system.arg), mono);
}
END_TEST

Suite *digest_suite(void)
{
    Suite *s = suite_create("digest");
    TCase *t = tcase_create("digest");
    tcase_add_loop_test(t, sha256_vectors, 0, HASHES);
    tcase_add_loop_test(t, hmac_vectors, 0, MACS);
    tcase_add_test(t, equal_or_not);
    tcase_add_test(t, crc32_in_parts);
    tcase_add_test(t, random_bytes_differ);
    tcase_add_test(t, clocks_go_on);
    suite_add_tcase(s, t);
    return s;
}
