/* conf/backends.c -- the `backends:` map: where models run. */
#include "base/cleanup.h"
#include "conf/draft.h"
#include <stdio.h>
#include <stdlib.h>

enum { SECRET_BYTES_MAX = 4096, SOCKET_PATH_MAX = 107 };

#define AT(field) offsetof(struct catalog_backend, field)
#define HOUR_MS   3600000
#define RATE_MAX  1000000000000

/* "openai|oip2" of a map of names: the bar before the first one is skipped. */
#define BAR_NAME(NAME, name) "|" name
#define CHOICES(map)         (&(map(BAR_NAME))[1])

/* clang-format off */
const struct conf_key backend_keys[] = {
    { "transport", read_choice, AT(transport), "shm|socket|http", 0, 0, true,
      "how it is reached: shared memory or a socket of a worker, or HTTP" },
    { "address", read_text, AT(address), "an address", 1, 1024, true,
      "shm: /PATH of the worker's socket; socket: unix:/PATH or HOST:PORT; http: base URL" },
    { "secret_file", read_path, AT(secret_file), "an absolute path", 1, 4095, false,
      "http: file with the backend's key, not readable by everyone" },
    { "ca_file", read_path, AT(ca_file), "an absolute path", 1, 4095, false,
      "https: certificates to trust instead of the system's" },
    { "client_cert_file", read_path, AT(client_cert_file), "an absolute path", 1, 4095, false,
      "https: our certificate for a server that asks for one, with its chain; needs the key" },
    { "client_key_file", read_path, AT(client_key_file), "an absolute path", 1, 4095, false,
      "https: its private key, not encrypted and not readable by everyone" },
    { "http_version", read_choice, AT(http_version), "auto|1.1", 0, 0, false,
      "https: HTTP/2 where the server offers it (the default), or never" },
    { "concurrency", read_count32, AT(concurrency), "a number", 1, 65536, false,
      "calls at once of all threads together, exactly; 256 when not given" },
    { "requests_per_minute", read_count, AT(requests_per_minute), "a number", 1, RATE_MAX, false,
      "calls a minute of all threads together, exactly; no limit when not given" },
    { "tokens_per_minute", read_count, AT(tokens_per_minute), "a number", 1, RATE_MAX, false,
      "tokens a minute likewise, by an estimate at first and by what was used afterwards" },
    { "queue_max", read_count32, AT(queue_max), "a number", 0, 65536, false,
      "requests that may wait while it is full, in turn by project; beyond it 503; 256 when not "
      "given, 0 is none" },
    { "queue_timeout_ms", read_msec, AT(queue_timeout_ms), "a time", 10, HOUR_MS, false,
      "longest wait, then 503; 5s when not given" },
    { "first_byte_timeout_ms", read_msec, AT(first_byte_timeout_ms), "a time", 100, HOUR_MS, false,
      "instead of the setting of this name" },
    { "chunk_timeout_ms", read_msec, AT(chunk_timeout_ms), "a time", 100, HOUR_MS, false,
      "instead of the setting of this name" },
    { "connect_timeout_ms", read_msec, AT(connect_timeout_ms), "a time", 10, HOUR_MS, false,
      "instead of the setting of this name" },
    { "on_disconnect", read_choice, AT(on_disconnect), "cancel|drain", 0, 0, false,
      "when the client leaves: stop the call (the default) or let it end; the bill is what was sent" },
    { "drain_timeout_ms", read_msec, AT(drain_timeout_ms), "a time", 100, HOUR_MS, false,
      "with on_disconnect: drain, how long a call goes on without its client; 30s when not given" },
    { "drain_calls_max", read_count32, AT(drain_calls_max), "a number", 1, 4096, false,
      "with on_disconnect: drain, such calls at once of all threads together; 16 when not given; one "
      "more is cancelled" },
    { "repeat_unanswered", read_bool, AT(repeat_unanswered), "true|false", 0, 0, false,
      "a call whose connection died before any byte of an answer is run once more, elsewhere or, "
      "when http had kept the connection, on a new one; "
      "true for a worker, whose work dies with it, false for http, where it may be charged twice" },
    { "eject_after", read_count32, AT(eject_after), "a number", 1, 1000, false,
      "failures in a row after which a thread sends it nothing for a while; 5 when not given" },
    { "ejection_ms", read_msec, AT(ejection_ms), "a time", 100, HOUR_MS, false,
      "how long at first; up to ten times as long when it fails again soon; 30s when not given" },
    { "dialect", read_choice, AT(http.dialect), CHOICES(DIALECTS), 0, 0, false,
      "http: what is spoken; openai (the default; the address ends in /v1) or, for tensors, oip2 "
      "(the server's root)" },
    { "signer", read_choice, AT(http.signer), CHOICES(SIGNERS), 0, 0, false,
      "http: how the key is shown: `Authorization: Bearer KEY` (the default), in a header, or in "
      "the query" },
    { "signer_name", read_text, AT(http.signer_name), "a name", 1, 64, false,
      "http: of the key's header (`x-api-key` when not given) or query parameter (`key`)" },
    { "headers", read_headers, AT(http), "a map of names", 1, HEADERS_MAX, false,
      "http: sent with each request as they stand; not for secrets" },
    { "framer", read_choice, AT(http.framer), CHOICES(FRAMERS), 0, 0, false,
      "http: how a streamed answer is cut into events; the dialect's when not given" },
    { "usage_map", read_choice, AT(http.usage), CHOICES(USAGE_MAPS), 0, 0, false,
      "http: where an answer says what was used; the dialect's when not given" },
    { "error_map", read_choice, AT(http.errors), CHOICES(ERROR_MAPS), 0, 0, false,
      "http: what an error says; the dialect's when not given; silent is openai without passing "
      "its sentences on to clients" },
    { "rate_limit_map", read_choice, AT(http.rates), CHOICES(RATE_MAPS), 0, 0, false,
      "http: which headers say how much is left; the dialect's when not given" },
    { "costs", read_costs, 0, "a map of the backend's own names of models", 1, COSTS_MAX, false,
      "what each costs you, as `price` has it: by the unit or flat a request, for the report of "
      "margins; nothing is recorded of what is not named here" },
    { .key = NULL }
};
/* clang-format on */

/* One newline at the end is not part of the secret; whatever else is not printable is an error. */
static enum status take_secret(struct conf_reader *r, const struct yaml_node *at, char *bytes,
                               size_t len, char **ret)
{
    if (len && bytes[len - 1] == '\n')
        len--;
    if (len < 1 || len > SECRET_BYTES_MAX)
        return conf_fail(r, at, "'%.200s' holds %zu bytes; expected 1 to %d", at->text, len,
                         SECRET_BYTES_MAX);
    for (size_t i = 0; i < len; i++)
        if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            return conf_fail(r, at, "'%.200s' has a byte that is not printable ASCII", at->text);
    *ret = arena_memdup(r->keep, bytes, len);
    return *ret ? STATUS_OK : conf_no_memory(r);
}

static enum status read_secret(struct conf_reader *r, const struct yaml_node *at, char **ret)
{
    AUTO(conf_file_wipe) struct conf_file f = { 0 };
    enum status status = conf_file(r, at, SECRET_BYTES_MAX + 1, true, &f);
    return status ? status : take_secret(r, at, f.at, f.len, ret);
}

bool conf_base_url(const char *url)
{
    size_t scheme = !strncmp(url, "http://", 7) ? 7 : !strncmp(url, "https://", 8) ? 8 : 0;
    if (!scheme || strpbrk(url, " ?#@\"<>\\"))
        return false;
    const char *host = url + scheme;
    size_t len = strcspn(host, "/");
    char with_port[300];
    const char *bracket = memchr(host, ']', len);
    bool has_port = memchr(bracket ? bracket : host, ':',
                           len - (bracket ? (size_t)(bracket - host) : 0)) != NULL;
    int written =
        snprintf(with_port, sizeof with_port, "%.*s%s", (int)len, host, has_port ? "" : ":80");
    return written > 0 && (size_t)written < sizeof with_port && value_host_port(with_port);
}

static const char *address_expected(const struct catalog_backend *b)
{
    switch (b->transport) {
    case TRANSPORT_SHM:
        return value_path(b->address, SOCKET_PATH_MAX) ? NULL : "the /PATH of a worker's socket";
    case TRANSPORT_SOCKET:
        if (strncmp(b->address, "unix:", 5) ? value_host_port(b->address)
                                            : value_path(b->address + 5, SOCKET_PATH_MAX))
            return NULL;
        return "unix:/PATH or HOST:PORT";
    case TRANSPORT_HTTP:
        if (conf_base_url(b->address))
            return NULL;
        return "a base URL such as https://host/v1, without user, query or fragment";
    }
    return "an address";
}

static enum status check_files(struct conf_reader *r, const struct yaml_node *n,
                               struct catalog_backend *b)
{
    const struct yaml_node *secret = yaml_get(n, "secret_file");
    if (secret && b->transport != TRANSPORT_HTTP)
        return conf_fail_key(r, secret, "'secret_file' has no effect with transport %s",
                             transport_name(b->transport));
    const struct yaml_node *version = yaml_get(n, "http_version");
    bool https = b->transport == TRANSPORT_HTTP && !strncmp(b->address, "https:", 6);
    enum status status = conf_tls(r, n, https, &b->tls);
    if (!status && version && !b->tls)
        return conf_fail_key(r, version, "'http_version' has no effect without https");
    return status || !secret ? status : read_secret(r, secret, &b->secret);
}

static enum status check_drain(struct conf_reader *r, const struct yaml_node *n,
                               const struct catalog_backend *b)
{
    static const char *const keys[] = { "drain_timeout_ms", "drain_calls_max" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (yaml_get(n, keys[i]) && b->on_disconnect != DISCONNECT_DRAIN)
            return conf_fail_key(r, yaml_get(n, keys[i]),
                                 "'%s' has no effect without on_disconnect: drain", keys[i]);
    return STATUS_OK;
}

static enum status read_backend_entry(struct conf_reader *r, const struct yaml_node *n,
                                      struct catalog_backend *b)
{
    if (!value_segment(n->key, strlen(n->key)))
        return conf_fail_key(r, n, "'%.80s' is not a name; expected [a-z0-9][a-z0-9._-]{0,62}",
                             n->key);
    b->name = arena_strdup(r->keep, n->key);
    if (!b->name)
        return conf_no_memory(r);
    b->secret_file = b->ca_file = b->client_cert_file = b->client_key_file = "";
    b->concurrency = b->queue_max = 256;
    b->queue_timeout_ms = 5000;
    b->drain_timeout_ms = 30000;
    b->drain_calls_max = 16;
    b->eject_after = 5;
    b->ejection_ms = 30000;
    enum status status = conf_walk(r, n, backend_keys, b);
    if (status)
        return status;
    if (!yaml_get(n, "repeat_unanswered"))
        b->repeat_unanswered = b->transport != TRANSPORT_HTTP;
    const char *expected = address_expected(b);
    if (expected)
        /* Not repeated: people put passwords into URLs. */
        return conf_fail(r, yaml_get(n, "address"), "is not %s", expected);
    const struct yaml_node *patience = yaml_get(n, "queue_timeout_ms");
    if (patience && !b->queue_max)
        return conf_fail_key(r, patience, "'queue_timeout_ms' has no effect: queue_max is 0");
    status = check_drain(r, n, b);
    if (!status)
        status = check_files(r, n, b);
    return status ? status : compose_complete(r, n, b);
}

static int by_name(const void *a, const void *b)
{
    const struct catalog_backend *x = a, *y = b;
    return strcmp(x->name, y->name);
}

READER(read_backends)
{
    (void)k;
    struct catalog *c = field;
    enum status status = conf_want(r, value, YAML_MAP);
    if (status)
        return status;
    if (value->count > BACKENDS_MAX)
        return conf_fail(r, value, "has %zu backends; at most %d", value->count, BACKENDS_MAX);
    r->backends = arena_alloc(r->keep, (value->count + 1) * sizeof *r->backends);
    r->backend_used = arena_alloc(r->scratch, value->count + 1);
    if (!r->backends || !r->backend_used)
        return conf_no_memory(r);
    c->backends = r->backends; /* from now on its secrets are wiped with it */
    for (const struct yaml_node *n = value->first; !status && n; n = n->next)
        status = read_backend_entry(r, n, &r->backends[c->backend_count++]);
    if (status)
        return status;
    r->backend_count = c->backend_count;
    qsort(r->backends, r->backend_count, sizeof *r->backends, by_name);
    for (size_t i = 0; i < r->backend_count; i++)
        r->backends[i].index = (unsigned)i;
    return STATUS_OK;
}

static const struct catalog_backend *backend_named(const struct conf_reader *r, const char *name)
{
    const struct catalog_backend wanted = { .name = name };
    if (!r->backend_count)
        return NULL;
    return bsearch(&wanted, r->backends, r->backend_count, sizeof wanted, by_name);
}

READER(read_backend)
{
    (void)k;
    const char *name;
    enum status status = conf_text(r, value, &name);
    if (status)
        return status;
    const struct catalog_backend *b = backend_named(r, name);
    if (!b)
        return conf_fail(r, value, "there is no backend '%.80s'", name);
    r->backend_used[b->index] = true;
    *(const struct catalog_backend **)field = b;
    return STATUS_OK;
}

enum status backends_used(struct conf_reader *r, const struct yaml_node *map)
{
    for (const struct yaml_node *n = map ? map->first : NULL; n; n = n->next)
        if (!r->backend_used[backend_named(r, n->key)->index])
            return conf_fail_key(r, n, "the backend '%s' has no effect: no model has a route to it",
                                 n->key);
    return STATUS_OK;
}
