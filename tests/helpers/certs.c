/* tests/helpers/certs.c -- see certs.h. */
#include "tests/helpers/certs.h"
#include <assert.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const files[] = { "ca.pem",       "server.pem",   "server.key", "client.pem",
                                     "client.key",   "client.enc",   "old.pem",    "old.key",
                                     "stranger.pem", "stranger.key", NULL };

struct identity {
    X509 *cert;
    EVP_PKEY *key;
};

char *certs_path(const char *dir, const char *name, char path[static CERTS_PATH_BYTES])
{
    snprintf(path, CERTS_PATH_BYTES, "%s/%s", dir, name);
    return path;
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static struct identity issue(const char *name, const struct identity *by, bool authority,
                             const char *san)
{
    static long serial = 1;
    struct identity made = { X509_new(), EVP_EC_gen("P-256") };
    X509 *x = made.cert;
    X509_NAME *subject = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x, by ? X509_get_subject_name(by->cert) : subject);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    bool old = strcmp(name, "old") == 0;
    X509_gmtime_adj(X509_getm_notBefore(x), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x), old ? -3600 : 3600);
    X509_set_pubkey(x, made.key);
    extend(x, by ? by->cert : x, NID_basic_constraints,
           authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!authority)
        extend(x, by->cert, NID_ext_key_usage, san ? "serverAuth" : "clientAuth");
    if (san)
        extend(x, by->cert, NID_subject_alt_name, san);
    int bytes = X509_sign(x, by ? by->key : made.key, EVP_sha256());
    assert(bytes > 0);
    return made;
}

static FILE *create(const char *dir, const char *name)
{
    char path[CERTS_PATH_BYTES];
    FILE *f = fopen(certs_path(dir, name, path), "w");
    assert(f);
    return f;
}

static void write_certs(const char *dir, const char *name, X509 *first, X509 *second)
{
    FILE *f = create(dir, name);
    PEM_write_X509(f, first);
    if (second)
        PEM_write_X509(f, second);
    fclose(f);
}

static void write_key(const char *dir, const char *name, EVP_PKEY *key, const char *passphrase)
{
    FILE *f = create(dir, name);
    fchmod(fileno(f), 0600);
    PEM_write_PKCS8PrivateKey(f, key, passphrase ? EVP_aes_128_cbc() : NULL, passphrase,
                              passphrase ? (int)strlen(passphrase) : 0, NULL, NULL);
    fclose(f);
}

static void forget(struct identity *i)
{
    X509_free(i->cert);
    EVP_PKEY_free(i->key);
}

void certs_make(char dir[static CERTS_PATH_BYTES])
{
    snprintf(dir, CERTS_PATH_BYTES, "/tmp/maas-certs-XXXXXX");
    const char *made = mkdtemp(dir);
    assert(made);
    struct identity root = issue("root", NULL, true, NULL);
    struct identity middle = issue("intermediate", &root, true, NULL);
    struct identity server = issue("server", &root, false, "IP:127.0.0.1,IP:::1,DNS:up.test");
    struct identity old = issue("old", &root, false, "IP:127.0.0.1");
    struct identity client = issue("client", &middle, false, NULL);
    struct identity unknown = issue("unknown", NULL, true, NULL);
    struct identity stranger = issue("stranger", &unknown, false, NULL);
    write_certs(dir, "ca.pem", root.cert, NULL);
    write_certs(dir, "server.pem", server.cert, NULL);
    write_key(dir, "server.key", server.key, NULL);
    write_certs(dir, "old.pem", old.cert, NULL);
    write_key(dir, "old.key", old.key, NULL);
    write_certs(dir, "client.pem", client.cert, middle.cert);
    write_key(dir, "client.key", client.key, NULL);
    write_key(dir, "client.enc", client.key, "open sesame");
    write_certs(dir, "stranger.pem", stranger.cert, NULL);
    write_key(dir, "stranger.key", stranger.key, NULL);
    struct identity *const all[] = { &root, &middle, &server, &old, &client, &unknown, &stranger };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        forget(all[i]);
}

void certs_remove(const char *dir)
{
    char path[CERTS_PATH_BYTES];
    for (size_t i = 0; files[i]; i++)
        unlink(certs_path(dir, files[i], path));
    rmdir(dir);
}
