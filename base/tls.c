/* base/tls.c -- see tls.h. */
#include "base/tls.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sys/stat.h>

/* Where Debian keeps the authorities that it trusts, all in one file. */
#define SYSTEM_AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"

struct tls {
    X509_STORE *authorities;
    X509 *cert; /* NULL: none is shown */
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
    uint8_t made_from[DIGEST_BYTES];
};

static void bio_free_ptr(BIO **b)
{
    BIO_free(*b);
}

static bool say(char err[static TLS_ERROR_BYTES], const char *sentence)
{
    snprintf(err, TLS_ERROR_BYTES, "%s", sentence);
    ERR_clear_error();
    return false;
}

/* ---- the authorities ---- */

/* The next certificate of a PEM text; NULL at its end, or where it is not one: *ret_broken. */
static X509 *next_certificate(BIO *b, bool *ret_broken)
{
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    unsigned long why = x ? 0 : ERR_peek_last_error();
    *ret_broken =
        why && !(ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE);
    ERR_clear_error();
    return x;
}

static X509_STORE *store_new(struct span pem, char err[static TLS_ERROR_BYTES])
{
    AUTO(bio_free_ptr) BIO *b = BIO_new_mem_buf(pem.at, (int)pem.len);
    X509_STORE *store = X509_STORE_new();
    bool broken = false, ok = b && store;
    unsigned count = 0;
    X509 *x;
    while (ok && (x = next_certificate(b, &broken))) {
        ok = X509_STORE_add_cert(store, x) == 1;
        X509_free(x);
        count++;
    }
    if (!ok)
        say(err, "cannot be used: not enough memory");
    else if (broken)
        say(err, "holds a certificate that cannot be read");
    else if (!count)
        say(err, "holds no certificate in PEM form");
    else
        return store;
    X509_STORE_free(store);
    return NULL;
}

/* As libcurl would: an intermediate authority that is trusted is enough.  What OpenSSL works out
 * of a certificate when it is first used is worked out here, before threads share it. */
static bool make_ready(X509_STORE *s)
{
    STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(s);
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++)
        X509_check_purpose(X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i)), -1, 0);
    return X509_STORE_set_flags(s, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN) == 1;
}

/* Parsed once for all backends of all configurations for as long as the file stays as it is. */
static struct {
    pthread_mutex_t lock;
    X509_STORE *store;
    struct stat of;
} system_store = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static X509_STORE *load_system_store(const struct stat *now)
{
    X509_STORE *store = X509_STORE_new();
    if (!store || X509_STORE_load_file(store, SYSTEM_AUTHORITIES) != 1 || !make_ready(store)) {
        X509_STORE_free(store);
        return NULL;
    }
    X509_STORE_free(system_store.store); /* those who use it have their own reference */
    system_store.store = store;
    system_store.of = *now;
    return store;
}

static X509_STORE *take_system_store(struct stat *ret_of, char err[static TLS_ERROR_BYTES])
{
    X509_STORE *store = NULL;
    pthread_mutex_lock(&system_store.lock);
    if (stat(SYSTEM_AUTHORITIES, ret_of) == 0) {
        store = system_store.store && same_file(ret_of, &system_store.of)
                    ? system_store.store
                    : load_system_store(ret_of);
        if (store)
            X509_STORE_up_ref(store);
    }
    pthread_mutex_unlock(&system_store.lock);
    if (!store)
        say(err, "is needed: the system's authorities in " SYSTEM_AUTHORITIES
                 " cannot be read; install ca-certificates");
    return store;
}

static bool take_authorities(struct tls *t, struct span pem, struct stat *ret_of,
                             char err[static TLS_ERROR_BYTES])
{
    t->authorities = pem.len ? store_new(pem, err) : take_system_store(ret_of, err);
    if (t->authorities && pem.len && !make_ready(t->authorities))
        return say(err, "cannot be used: not enough memory");
    return t->authorities != NULL;
}

/* ---- our own certificate ---- */

static bool take_certificate(struct tls *t, struct span pem, char err[static TLS_ERROR_BYTES])
{
    AUTO(bio_free_ptr) BIO *b = BIO_new_mem_buf(pem.at, (int)pem.len);
    bool broken = false;
    X509 *x;
    t->cert = b ? next_certificate(b, &broken) : NULL;
    t->chain = sk_X509_new_null();
    if (!b || !t->chain)
        return say(err, "cannot be used: not enough memory");
    while (t->cert && !broken && (x = next_certificate(b, &broken)))
        if (sk_X509_push(t->chain, x) < 1) {
            X509_free(x);
            return say(err, "cannot be used: not enough memory");
        }
    if (broken)
        return say(err, "holds a certificate that cannot be read");
    return t->cert || say(err, "holds no certificate in PEM form");
}

/* Nobody is there to be asked for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static bool take_key(struct tls *t, struct span pem, char err[static TLS_ERROR_BYTES])
{
    AUTO(bio_free_ptr) BIO *b = BIO_new_mem_buf(pem.at, (int)pem.len);
    bool asked = false;
    t->key = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, &asked) : NULL;
    if (asked)
        return say(err, "is encrypted and nobody is there to type its passphrase; decrypt it with: "
                        "openssl pkey");
    if (!t->key)
        return say(err, "holds no private key in PEM form");
    if (X509_check_private_key(t->cert, t->key) != 1)
        return say(err, "is not the key of the certificate");
    return true;
}

/* ---- the whole ---- */

/* Of everything that makes a difference; the system's authorities by which file they were. */
static bool remember(struct tls *t, const struct tls_text *text, const struct stat *system)
{
    const struct span parts[] = { text->ca, text->cert, text->key };
    uint8_t each[4][DIGEST_BYTES] = { { 0 } };
    const int64_t file[] = { (int64_t)system->st_dev, (int64_t)system->st_ino, system->st_size,
                             system->st_mtim.tv_sec, system->st_mtim.tv_nsec };
    for (size_t i = 0; i < 3; i++)
        digest_sha256(parts[i].at ? parts[i].at : "", parts[i].len, each[i]);
    digest_sha256(file, sizeof file, each[3]);
    digest_sha256(each, sizeof each, t->made_from);
    return true;
}

struct tls *tls_new(const struct tls_text *text, enum tls_part *bad,
                    char err[static TLS_ERROR_BYTES])
{
    struct tls *t = calloc(1, sizeof *t);
    struct stat system = { 0 };
    *bad = TLS_CA;
    if (!t) {
        say(err, "cannot be used: not enough memory");
        return NULL;
    }
    bool ok = take_authorities(t, text->ca, &system, err);
    if (ok && text->cert.len) {
        *bad = TLS_CERT;
        ok = take_certificate(t, text->cert, err);
    }
    if (ok && text->cert.len) {
        *bad = TLS_KEY;
        ok = take_key(t, text->key, err);
    }
    if (ok && remember(t, text, &system))
        return t;
    tls_free(t);
    return NULL;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    X509_STORE_free(t->authorities);
    X509_free(t->cert);
    sk_X509_pop_free(t->chain, X509_free);
    EVP_PKEY_free(t->key);
    free(t);
}

bool tls_same(const struct tls *a, const struct tls *b)
{
    return a == b || (a && b && digest_equal(a->made_from, b->made_from, sizeof a->made_from));
}

bool tls_apply(const struct tls *t, void *ssl_ctx)
{
    SSL_CTX_set1_cert_store(ssl_ctx, t->authorities);
    return !t->cert || SSL_CTX_use_cert_and_key(ssl_ctx, t->cert, t->key, t->chain, 1) == 1;
}

void tls_describe(void *ssl, char text[static TLS_DESCRIPTION_BYTES])
{
    char subject[80] = "nobody", issuer[80] = "nobody";
    X509 *x = SSL_get1_peer_certificate(ssl);
    if (x) {
        X509_NAME_oneline(X509_get_subject_name(x), subject, sizeof subject);
        X509_NAME_oneline(X509_get_issuer_name(x), issuer, sizeof issuer);
    }
    X509_free(x);
    snprintf(text, TLS_DESCRIPTION_BYTES, "%s, certificate of %s by %s: %s", SSL_get_version(ssl),
             subject, issuer,
             SSL_get_verify_result(ssl) == X509_V_OK
                 ? "verified"
                 : X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
}

bool tls_offer_h2(void *ssl_ctx)
{
    static const unsigned char protocols[] = "\x02h2\x08http/1.1";
    return SSL_CTX_set_alpn_protos(ssl_ctx, protocols, sizeof protocols - 1) == 0;
}

bool tls_chose_h2(void *ssl)
{
    const unsigned char *protocol = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(ssl, &protocol, &len);
    return len == 2 && memcmp(protocol, "h2", 2) == 0;
}
