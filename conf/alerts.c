/* conf/alerts.c -- the `alerts:` map: when somebody is told that money runs low, and where. */
#include "base/base64.h"
#include "base/cleanup.h"
#include "conf/draft.h"
#include <stdlib.h>

enum {
    SECRET_TEXT_MAX = 256, /* with its newline and what is in front of base64 */
    KEY_BYTES_MIN = 24,    /* as Standard Webhooks has it */
    KEY_BYTES_MAX = 64,
};

#define AT(field)            offsetof(struct catalog_alerts, field)
#define HOOK(field)          offsetof(struct catalog_webhook, field)
#define HOUR_MS              3600000
#define BAR_TYPE(NAME, type) "|" type

static READER(read_thresholds);      /* struct catalog_alerts */
static READER(read_organizations);   /* const char *const * */
static READER(read_webhooks);        /* struct catalog_alerts */
static READER(read_hook_thresholds); /* struct catalog_webhook */

/* clang-format off */
const struct conf_key alert_keys[] = {
    { "thresholds", read_thresholds, 0, "a list of percents", 1, ALERT_THRESHOLDS_MAX, false,
      "what has to be used of a limit before an alert, ascending, 1 to 100; [50, 80, 100] when not "
      "given" },
    { "timeout_ms", read_msec, AT(timeout_ms), "a time", 100, 60000, false,
      "for one attempt to deliver; 10s when not given" },
    { "retry_ms", read_msec, AT(retry_ms), "a time", 100, HOUR_MS, false,
      "before the second attempt, four times as long before each that follows, 12h at most; 5s when "
      "not given" },
    { "attempts", read_count32, AT(attempts), "a number", 1, 50, false,
      "then it is given up, until `maasgate alert redeliver`; 10 (within 31 hours) when not given" },
    { "webhooks", read_webhooks, 0, "a map of names", 1, ALERT_WEBHOOKS_MAX, true,
      "who is told" },
    { .key = NULL }
};

const struct conf_key webhook_keys[] = {
    { "url", read_text, HOOK(url), "a URL", 1, 1024, true,
      "where events are sent by POST; addresses as `egress_allow` has them, no redirect is followed" },
    { "secret_file", read_path, HOOK(secret_file), "an absolute path", 1, 4095, true,
      "file with what events are signed by, not readable by everyone: `whsec_` and 24 to 64 bytes in "
      "base64; with a second line they are signed by both, while receivers change" },
    { "ca_file", read_path, HOOK(ca_file), "an absolute path", 1, 4095, false,
      "https: certificates to trust instead of the system's" },
    { "client_cert_file", read_path, HOOK(client_cert_file), "an absolute path", 1, 4095, false,
      "https: our certificate for a server that asks for one, with its chain; needs the key" },
    { "client_key_file", read_path, HOOK(client_key_file), "an absolute path", 1, 4095, false,
      "https: its private key, not encrypted and not readable by everyone" },
    { "types", read_choices, HOOK(types), &(ALERT_TYPES(BAR_TYPE))[1], 1, ALERT_TYPE_COUNT, false,
      "list of what it is told; all when not given" },
    { "thresholds", read_hook_thresholds, 0, "a list of percents", 1, ALERT_THRESHOLDS_MAX, false,
      "of those above, the ones that it is told of; all when not given" },
    { "organizations", read_organizations, HOOK(organizations), "a list of slugs", 1,
      ALERT_ORGANIZATIONS_MAX, false, "whose events alone it gets; all when not given" },
    { .key = NULL }
};
/* clang-format on */

const char *alert_type_name(enum alert_type t)
{
    static const char *const names[] = {
#define X(NAME, type) [ALERT_##NAME] = type,
        ALERT_TYPES(X)
#undef X
    };
    return names[t];
}

static bool has(const unsigned *percents, unsigned count, unsigned percent)
{
    for (unsigned i = 0; i < count; i++)
        if (percents[i] == percent)
            return true;
    return false;
}

bool alert_wanted_by(const struct catalog_webhook *w, enum alert_type t, unsigned threshold)
{
    bool at =
        !w->threshold_count || threshold == 0 || has(w->thresholds, w->threshold_count, threshold);
    return (w->types >> t & 1) && at;
}

static bool reaches(const struct catalog_webhook *w)
{
    return w->types &
           (1u << ALERT_BUDGET_REACHED | 1u << ALERT_CREDIT_REACHED | 1u << ALERT_PREPAID_REACHED);
}

bool alerts_reach(const struct catalog_alerts *a)
{
    for (size_t i = 0; i < a->webhook_count; i++)
        if (reaches(&a->webhooks[i]))
            return true;
    return false;
}

/* ---- lists ---- */

static enum status want_some(struct conf_reader *r, const struct conf_key *k,
                             const struct yaml_node *list)
{
    enum status status = conf_want(r, list, YAML_LIST);
    if (!status && (list->count < k->min || list->count > k->max))
        return conf_fail(r, list, "has %zu elements; expected %llu to %llu", list->count,
                         (unsigned long long)k->min, (unsigned long long)k->max);
    return status;
}

static enum status read_percents(struct conf_reader *r, const struct conf_key *k,
                                 const struct yaml_node *value,
                                 unsigned percents[static ALERT_THRESHOLDS_MAX], unsigned *count)
{
    static const struct conf_key percent = { .expects = "a percentage", .min = 1, .max = 100 };
    enum status status = want_some(r, k, value);
    *count = 0;
    for (const struct yaml_node *n = value->first; !status && n; n = n->next) {
        uint32_t p;
        status = read_count32(r, &percent, n, &p);
        if (!status && *count && p <= percents[*count - 1])
            return conf_fail(r, n, "%u does not come after %u: thresholds ascend", p,
                             percents[*count - 1]);
        if (!status)
            percents[(*count)++] = p;
    }
    return status;
}

static READER(read_thresholds)
{
    struct catalog_alerts *a = field;
    return read_percents(r, k, value, a->thresholds, &a->threshold_count);
}

static READER(read_hook_thresholds)
{
    struct catalog_webhook *w = field;
    return read_percents(r, k, value, w->thresholds, &w->threshold_count);
}

static READER(read_organizations)
{
    enum status status = want_some(r, k, value);
    const char **slugs = arena_alloc(r->keep, (value->count + 1) * sizeof *slugs);
    if (!slugs)
        return conf_no_memory(r);
    size_t count = 0;
    for (const struct yaml_node *n = value->first; !status && n; n = n->next) {
        const char *slug;
        status = conf_text(r, n, &slug);
        if (!status && !value_segment(slug, strlen(slug)))
            return conf_fail(r, n, "'%.80s' is no organization's slug", slug);
        if (!status && !(slugs[count++] = arena_strdup(r->keep, slug)))
            return conf_no_memory(r);
    }
    *(const char *const **)field = slugs;
    return status;
}

/* ---- one webhook ---- */

static bool take_key(struct span line, struct hmac_key *ret)
{
    static const char front[] = "whsec_";
    char bytes[SECRET_TEXT_MAX];
    size_t skip = sizeof front - 1;
    bool fronted = line.len > skip && !memcmp(line.at, front, skip);
    size_t got =
        fronted ? base64_decode((struct span){ line.at + skip, line.len - skip }, bytes) : 0;
    bool ok = got >= KEY_BYTES_MIN && got <= KEY_BYTES_MAX;
    if (ok)
        hmac_key_init(ret, bytes, got);
    digest_wipe(bytes, sizeof bytes);
    return ok;
}

/* A key a line. */
static bool take_keys(struct span text, struct catalog_webhook *w)
{
    const char *at = text.at, *end = text.at + text.len;
    while (at < end && w->key_count < ALERT_KEYS_MAX) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        if (!take_key((struct span){ at, len }, &w->keys[w->key_count]))
            return false;
        w->key_count++;
        at += len + (stop ? 1 : 0);
    }
    return at == end && w->key_count;
}

/* The text is never repeated: it is the secret. */
static enum status read_keys(struct conf_reader *r, const struct yaml_node *at,
                             struct catalog_webhook *w)
{
    AUTO(conf_file_wipe) struct conf_file f = { 0 };
    enum status status = conf_file(r, at, SECRET_TEXT_MAX, true, &f);
    if (status || take_keys((struct span){ f.at, f.len }, w))
        return status;
    return conf_fail(r, at,
                     "'%.120s' does not hold whsec_ and %d to %d bytes in base64, once or on two "
                     "lines; make one: echo whsec_$(openssl rand -base64 32)",
                     at->text, KEY_BYTES_MIN, KEY_BYTES_MAX);
}

static enum status read_webhook(struct conf_reader *r, const struct yaml_node *n,
                                struct catalog_webhook *w)
{
    if (!value_segment(n->key, strlen(n->key)))
        return conf_fail_key(r, n, "'%.80s' is not a name; expected [a-z0-9][a-z0-9._-]{0,62}",
                             n->key);
    w->name = arena_strdup(r->keep, n->key);
    if (!w->name)
        return conf_no_memory(r);
    w->ca_file = w->client_cert_file = w->client_key_file = "";
    w->types = (1u << ALERT_TYPE_COUNT) - 1;
    enum status status = conf_walk(r, n, webhook_keys, w);
    if (status)
        return status;
    if (!conf_base_url(w->url)) /* not repeated: people put passwords into URLs */
        return conf_fail(r, yaml_get(n, "url"),
                         "is not a URL such as https://host/path, without user, query or fragment");
    status = conf_tls(r, n, !strncmp(w->url, "https:", 6), &w->tls);
    return status ? status : read_keys(r, yaml_get(n, "secret_file"), w);
}

static int by_name(const void *a, const void *b)
{
    const struct catalog_webhook *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static READER(read_webhooks)
{
    struct catalog_alerts *a = field;
    enum status status = conf_want(r, value, YAML_MAP);
    if (!status && (value->count < k->min || value->count > k->max))
        return conf_fail(r, value, "has %zu webhooks; expected %llu to %llu", value->count,
                         (unsigned long long)k->min, (unsigned long long)k->max);
    if (status)
        return status;
    a->webhooks = arena_alloc(r->keep, value->count * sizeof *a->webhooks);
    if (!a->webhooks)
        return conf_no_memory(r);
    for (const struct yaml_node *n = value->first; !status && n; n = n->next)
        status = read_webhook(r, n, &a->webhooks[a->webhook_count++]);
    if (!status)
        qsort(a->webhooks, a->webhook_count, sizeof *a->webhooks, by_name);
    return status;
}

/* ---- all of it ---- */

READER(read_alerts)
{
    struct catalog *c = field;
    struct catalog_alerts *a = &c->alerts;
    (void)k;
    *a = (struct catalog_alerts){ .thresholds = { 50, 80, 100 },
                                  .threshold_count = 3,
                                  .timeout_ms = 10000,
                                  .retry_ms = 5000,
                                  .attempts = 10 };
    return conf_walk(r, value, alert_keys, a);
}

static enum status check_hook(struct conf_reader *r, const struct yaml_node *n,
                              const struct catalog_webhook *w, const struct catalog *c)
{
    const struct catalog_alerts *a = &c->alerts;
    const struct yaml_node *own = yaml_get(n, "thresholds"), *at = own ? own->first : NULL;
    if (own && !reaches(w))
        return conf_fail_key(r, own,
                             "'thresholds' has no effect: 'types' has no threshold_reached");
    for (unsigned i = 0; i < w->threshold_count; i++, at = at->next)
        if (!has(a->thresholds, a->threshold_count, w->thresholds[i]))
            return conf_fail(r, at, "%u is not among alerts.thresholds: add it there, too",
                             w->thresholds[i]);
    return egress_check_address(r, yaml_get(n, "url"), w->url, &c->egress);
}

enum status alerts_check(struct conf_reader *r, const struct yaml_node *map,
                         const struct catalog *c)
{
    const struct catalog_alerts *a = &c->alerts;
    if (!map)
        return STATUS_OK;
    const struct yaml_node *thresholds = yaml_get(map, "thresholds");
    const struct yaml_node *wait = yaml_get(map, "retry_ms");
    if (thresholds && !alerts_reach(a))
        return conf_fail_key(r, thresholds,
                             "'thresholds' has no effect: no webhook takes a threshold_reached");
    if (wait && a->attempts == 1)
        return conf_fail_key(r, wait, "'retry_ms' has no effect: attempts is 1");
    enum status status = STATUS_OK;
    for (size_t i = 0; i < a->webhook_count && !status; i++)
        status = check_hook(r, yaml_get(yaml_get(map, "webhooks"), a->webhooks[i].name),
                            &a->webhooks[i], c);
    return status;
}
