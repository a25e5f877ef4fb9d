/* tests/unit/test_tls.c -- https to a backend: the files of the configuration, whom it trusts, what
 * it shows of itself, and what it refuses to speak. */
#include "base/tls.h"
#include "conf/catalog.h"
#include "conf/conf.h"
#include "tests/helpers/certs.h"
#include "tests/helpers/fake_dns.h"
#include "tests/helpers/http_rig.h"
#include <check.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(rows) ((int)(sizeof(rows) / sizeof *(rows)))

static char dir[CERTS_PATH_BYTES];

static void make_files(void)
{
    certs_make(dir);
}

static void remove_files(void)
{
    certs_remove(dir);
}

/* ---- the files ---- */

static const struct {
    const char *keys, *error; /* "@" stands for the directory; error NULL: accepted */
} file_rows[] = {
    { "", NULL },
    { "ca_file: @/ca.pem", NULL },
    { "client_cert_file: @/client.pem, client_key_file: @/client.key", NULL },
    { "ca_file: @/ca.pem, client_cert_file: @/stranger.pem, client_key_file: @/stranger.key",
      NULL },
    { "client_cert_file: @/client.pem",
      "backends.w: 'client_cert_file' needs 'client_key_file', too" },
    { "client_key_file: @/client.key",
      "backends.w: 'client_key_file' needs 'client_cert_file', too" },
    { "ca_file: @/none.pem",
      "backends.w.ca_file: '@/none.pem' cannot be read: No such file or directory" },
    { "ca_file: @/client.key",
      "backends.w.ca_file: '@/client.key' holds no certificate in PEM form" },
    { "ca_file: @", "backends.w.ca_file: '@' is not a regular file" },
    { "ca_file: /dev/null", "backends.w.ca_file: '/dev/null' is not a regular file" },
    { "ca_file: @/empty", "backends.w.ca_file: '@/empty' is empty" },
    { "ca_file: @/broken",
      "backends.w.ca_file: '@/broken' holds a certificate that cannot be read" },
    { "client_cert_file: @/client.key, client_key_file: @/client.key",
      "backends.w.client_cert_file: '@/client.key' holds no certificate in PEM form" },
    { "client_cert_file: @/broken, client_key_file: @/client.key",
      "backends.w.client_cert_file: '@/broken' holds a certificate that cannot be read" },
    { "client_cert_file: @/client.pem, client_key_file: @/client.pem",
      "backends.w.client_key_file: '@/client.pem' can be read by everyone; run: chmod 600 "
      "@/client.pem" },
    { "client_cert_file: @/client.pem, client_key_file: @/stranger.key",
      "backends.w.client_key_file: '@/stranger.key' is not the key of the certificate" },
    { "client_cert_file: @/client.pem, client_key_file: @/client.enc",
      "backends.w.client_key_file: '@/client.enc' is encrypted and nobody is there to type its "
      "passphrase; decrypt it with: openssl pkey" },
    { "client_cert_file: @/client.pem, client_key_file: @/empty",
      "backends.w.client_key_file: '@/empty' is empty" },
    { "client_cert_file: @/client.pem, client_key_file: @/secret",
      "backends.w.client_key_file: '@/secret' holds no private key in PEM form" },
};

/* Each '@' becomes the directory. */
static char *with_directory(const char *text)
{
    char *out = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&out, &len);
    for (; *text; text++)
        if (*text == '@')
            fputs(dir, f);
        else
            fputc(*text, f);
    fclose(f);
    return out;
}

static void write_file(const char *name, const char *text)
{
    char path[CERTS_PATH_BYTES];
    FILE *f = fopen(certs_path(dir, name, path), "w");
    ck_assert_ptr_nonnull(f);
    chmod(path, 0600);
    fputs(text, f);
    fclose(f);
}

static enum status read_conf(const char *keys, struct conf **ret, char err[static CONF_ERROR_BYTES])
{
    char text[1024];
    snprintf(text, sizeof text,
             "backends:\n  w: {transport: http, address: 'https://h/v1', %s}\n"
             "models:\n  base/chat:\n    capabilities: [chat]\n"
             "    routes: [{backend: w, model: m}]\n"
             "    price: {input_uncached_tokens: 0, output_text_tokens: 0}\n",
             keys);
    return conf_parse("t.yaml", text, strlen(text), ret, err);
}

START_TEST(test_files)
{
    static const char *const extra[] = { "empty", "broken", "secret" };
    struct conf *c = NULL;
    char err[CONF_ERROR_BYTES] = "", path[CERTS_PATH_BYTES];
    write_file("empty", "");
    write_file("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write_file("secret", "hello");
    char *keys = with_directory(file_rows[_i].keys);
    enum status status = read_conf(keys, &c, err);
    if (file_rows[_i].error) {
        char *expected = with_directory(file_rows[_i].error);
        ck_assert_msg(status == STATUS_BAD_FIELD && strstr(err, expected), "%s: %s", keys, err);
        free(expected);
    } else {
        ck_assert_msg(status == STATUS_OK, "%s", err);
        ck_assert_ptr_nonnull(c->catalog->backends[0].tls);
    }
    conf_free(c);
    free(keys);
    for (int i = 0; i < COUNT(extra); i++)
        unlink(certs_path(dir, extra[i], path));
}
END_TEST

static struct tls *made(const char *keys)
{
    static struct conf *kept[8];
    static unsigned count;
    char err[CONF_ERROR_BYTES] = "";
    char *text = with_directory(keys);
    if (!keys[0]) {
        while (count)
            conf_free(kept[--count]);
        free(text);
        return NULL;
    }
    ck_assert_msg(read_conf(text, &kept[count], err) == STATUS_OK, "%s", err);
    free(text);
    return kept[count++]->catalog->backends[0].tls;
}

/* A reload sees what the files hold, not how they are called. */
START_TEST(test_same)
{
    static const char client[] =
        "ca_file: @/ca.pem, client_cert_file: @/client.pem, client_key_file: @/client.key";
    char from[CERTS_PATH_BYTES], to[CERTS_PATH_BYTES];
    struct tls *first = made(client);
    ck_assert(tls_same(first, made(client)));
    ck_assert(!tls_same(first, made("ca_file: @/ca.pem")));
    ck_assert(!tls_same(first, NULL) && !tls_same(NULL, first) && tls_same(NULL, NULL));
    struct tls *system = made("concurrency: 1");
    ck_assert(tls_same(system, made("concurrency: 2")));
    ck_assert(!tls_same(first, system));
    rename(certs_path(dir, "stranger.pem", from), certs_path(dir, "client.pem", to));
    rename(certs_path(dir, "stranger.key", from), certs_path(dir, "client.key", to));
    ck_assert(!tls_same(first, made(client)));
    made("");
}
END_TEST

/* ---- connections ---- */

static const struct {
    const char *label;
    struct stub_tls server;
    bool knows_authority;
    const char *client;  /* NULL: shows nothing */
    const char *trouble; /* words of it; "": any; NULL: it answers */
} rows[] = {
    { "plain", { 0 }, true, NULL, NULL },
    { "1.2", { .version_max = TLS1_2_VERSION }, true, NULL, NULL },
    { "1.1", { .version_max = TLS1_1_VERSION }, true, NULL, "version" },
    { "1.0", { .version_max = TLS1_VERSION }, true, NULL, "version" },
    { "unknown authority", { 0 }, false, NULL, "SSL certificate problem" },
    { "expired", { .is_old = true }, true, NULL, "certificate has expired" },
    { "shows one although not asked", { 0 }, true, "client", NULL },
    { "shows one", { .asks_client = true }, true, "client", NULL },
    { "shows one, 1.2", { TLS1_2_VERSION, true, false }, true, "client", NULL },
    { "has none", { .asks_client = true }, true, NULL, "" },
    { "has none, 1.2", { TLS1_2_VERSION, true, false }, true, NULL, "alert" },
    { "shows a stranger's", { .asks_client = true }, true, "stranger", "" },
    { "shows a stranger's, 1.2", { TLS1_2_VERSION, true, false }, true, "stranger", "alert" },
};

START_TEST(test_connection)
{
    static const struct stub_http_answer a = { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" };
    struct rig r = { .stub = stub_http_start_tls(&a, 1, &rows[_i].server) };
    struct call c;
    char cert[CERTS_PATH_BYTES], key[CERTS_PATH_BYTES], name[64];
    if (rows[_i].knows_authority)
        r.conf.ca_file = stub_http_ca_file(r.stub);
    if (rows[_i].client) {
        snprintf(name, sizeof name, "%s.pem", rows[_i].client);
        r.conf.client_cert_file = certs_path(stub_http_certs(r.stub), name, cert);
        snprintf(name, sizeof name, "%s.key", rows[_i].client);
        r.conf.client_key_file = certs_path(stub_http_certs(r.stub), name, key);
    }
    rig_open_at(&r, stub_http_url(r.stub), "/v1");
    rig_chat(&r, &c, false);
    ck_assert_msg((c.end.status == STATUS_OK) == !rows[_i].trouble, "%s: %s", rows[_i].label,
                  status_info(c.end.status)->name);
    const char *wanted = rows[_i].trouble ? rows[_i].trouble : "";
    ck_assert_msg(strstr(r.backend->trouble, wanted) && !r.backend->trouble[0] == !rows[_i].trouble,
                  "%s: '%s'", rows[_i].label, r.backend->trouble);
    ck_assert_uint_eq(stub_http_requests(r.stub), !rows[_i].trouble);
    rig_chat(&r, &c, false);
    ck_assert_uint_eq(r.backend->stats.connects, rows[_i].trouble ? 2 : 1);
    rig_close(&r);
}
END_TEST

/* The certificate is held against the name of the configuration, not against the address that the
 * name was pinned to. */
START_TEST(test_name)
{
    static const struct stub_http_answer a = { .bytes = JSON_HEAD "Content-Length: 2\r\n\r\n{}" };
    static const char *const names[] = { "up.test", "other.test" };
    struct rig r = { .stub = stub_http_start(&a, 1, true) };
    struct call c;
    char url[64];
    r.conf.ca_file = stub_http_ca_file(r.stub);
    fake_dns_set(names[_i], "127.0.0.1");
    snprintf(url, sizeof url, "https://%s%s", names[_i], strrchr(stub_http_url(r.stub), ':'));
    rig_open_at(&r, url, "/v1");
    rig_wait_up(&r);
    rig_chat(&r, &c, false);
    ck_assert_int_eq(c.end.status, _i ? STATUS_NO_BACKEND : STATUS_OK);
    ck_assert(c.end.untouched == (_i == 1));
    ck_assert_msg(!_i || strstr(r.backend->trouble, "other.test"), "%s", r.backend->trouble);
    ck_assert_uint_eq(stub_http_requests(r.stub), !_i);
    rig_close(&r);
}
END_TEST

Suite *tls_suite(void);
Suite *tls_suite(void)
{
    Suite *s = suite_create("tls");
    TCase *t = tcase_create("files");
    tcase_add_checked_fixture(t, make_files, remove_files);
    tcase_add_loop_test(t, test_files, 0, COUNT(file_rows));
    tcase_add_test(t, test_same);
    suite_add_tcase(s, t);
    t = tcase_create("connections");
    tcase_add_loop_test(t, test_connection, 0, COUNT(rows));
    tcase_add_loop_test(t, test_name, 0, 2);
    suite_add_tcase(s, t);
    return s;
}
