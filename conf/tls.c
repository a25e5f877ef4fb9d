/* conf/tls.c -- what https trusts and shows, from the files that an entry names. */
#include "base/tls.h"
#include "base/cleanup.h"
#include "conf/draft.h"

enum { CA_BYTES_MAX = 4 << 20, CERT_BYTES_MAX = 256 << 10 };

/* By enum tls_part. */
static const struct {
    const char *key;
    size_t max;
    bool secret;
} files[] = {
    [TLS_CA] = { "ca_file", CA_BYTES_MAX, false },
    [TLS_CERT] = { "client_cert_file", CERT_BYTES_MAX, false },
    [TLS_KEY] = { "client_key_file", CERT_BYTES_MAX, true },
};

enum { FILES = sizeof files / sizeof *files };

struct contents {
    struct conf_file file[FILES];
};

static void wipe_contents(struct contents *c)
{
    for (unsigned i = 0; i < FILES; i++)
        conf_file_wipe(&c->file[i]);
}

static struct span text_of(const struct contents *c, enum tls_part part)
{
    return (struct span){ c->file[part].at, c->file[part].len };
}

static enum status make(struct conf_reader *r, const struct yaml_node *n, const struct contents *c,
                        struct tls **ret)
{
    const struct tls_text text = { text_of(c, TLS_CA), text_of(c, TLS_CERT), text_of(c, TLS_KEY) };
    char err[TLS_ERROR_BYTES];
    enum tls_part bad;
    *ret = tls_new(&text, &bad, err);
    if (*ret)
        return STATUS_OK;
    const struct yaml_node *at = yaml_get(n, files[bad].key);
    if (!at) /* the system's authorities */
        return conf_fail_key(r, n, "'%s' %s", files[bad].key, err);
    return conf_fail(r, at, "'%.200s' %s", at->text, err);
}

/* An empty text would be no text: not given, and not an error. */
static enum status read_part(struct conf_reader *r, const struct yaml_node *at, unsigned part,
                             struct conf_file *ret)
{
    enum status status = conf_file(r, at, files[part].max, files[part].secret, ret);
    if (!status && !ret->len)
        status = conf_fail(r, at, "'%.200s' is empty", at->text);
    return status;
}

enum status conf_tls(struct conf_reader *r, const struct yaml_node *n, bool https, struct tls **ret)
{
    AUTO(wipe_contents) struct contents c = { 0 };
    enum status status = STATUS_OK;
    for (unsigned i = 0; !status && i < FILES; i++) {
        const struct yaml_node *at = yaml_get(n, files[i].key);
        if (at && !https)
            return conf_fail_key(r, at, "'%s' has no effect without https", files[i].key);
        if (at)
            status = read_part(r, at, i, &c.file[i]);
    }
    if (status || !https)
        return status;
    for (unsigned i = TLS_CERT; i <= TLS_KEY; i++) {
        unsigned other = i == TLS_CERT ? TLS_KEY : TLS_CERT;
        if (c.file[i].len && !c.file[other].len)
            return conf_fail_key(r, yaml_get(n, files[i].key), "'%s' needs '%s', too", files[i].key,
                                 files[other].key);
    }
    return make(r, n, &c, ret);
}
