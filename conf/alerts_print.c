/* conf/alerts_print.c -- the `alerts:` map as the file would say it, the secrets masked. */
#include "conf/draft.h"

static bool text(struct buf *b, const char *key, const char *value)
{
    return !*value ||
           (buf_printf(b, "      %s: ", key) && value_quote(b, value) && buf_text(b, "\n"));
}

static bool types(struct buf *b, unsigned bits)
{
    const char *comma = "";
    bool ok = buf_text(b, "      types: [");
    for (unsigned t = 0; ok && t < ALERT_TYPE_COUNT; t++)
        if (bits >> t & 1) {
            ok = buf_printf(b, "%s%s", comma, alert_type_name(t));
            comma = ", ";
        }
    return ok && buf_text(b, "]\n");
}

static bool organizations(struct buf *b, const char *const *slugs)
{
    if (!slugs)
        return true;
    bool ok = buf_text(b, "      organizations: [");
    for (size_t i = 0; ok && slugs[i]; i++)
        ok = buf_printf(b, "%s\"%s\"", i ? ", " : "", slugs[i]);
    return ok && buf_text(b, "]\n");
}

static bool thresholds(struct buf *b, const char *indent, const unsigned *percents, unsigned count)
{
    bool ok = buf_printf(b, "%sthresholds: [", indent);
    for (unsigned i = 0; ok && i < count; i++)
        ok = buf_printf(b, "%s%u", i ? ", " : "", percents[i]);
    return ok && buf_text(b, "]\n");
}

static bool webhook(struct buf *b, const struct catalog_webhook *w)
{
    return buf_printf(b, "    \"%s\":\n", w->name) && text(b, "url", w->url) &&
           buf_text(b, "      secret_file: ") && value_quote(b, w->secret_file) &&
           buf_text(b, " # holds ********\n") && text(b, "ca_file", w->ca_file) &&
           text(b, "client_cert_file", w->client_cert_file) &&
           text(b, "client_key_file", w->client_key_file) && types(b, w->types) &&
           (!w->threshold_count || thresholds(b, "      ", w->thresholds, w->threshold_count)) &&
           organizations(b, w->organizations);
}

static bool time_ms(struct buf *b, const char *key, uint64_t value)
{
    char words[VALUE_TEXT_BYTES];
    return buf_printf(b, "  %s: %s\n", key, value_number_text(CONF_MSEC, value, words));
}

bool alerts_print(struct buf *b, const struct catalog_alerts *a)
{
    if (!a->webhook_count)
        return true;
    bool ok = buf_text(b, "\nalerts:\n") &&
              (!alerts_reach(a) || thresholds(b, "  ", a->thresholds, a->threshold_count)) &&
              time_ms(b, "timeout_ms", a->timeout_ms) &&
              (a->attempts == 1 || time_ms(b, "retry_ms", a->retry_ms)) &&
              buf_printf(b, "  attempts: %u\n  webhooks:\n", a->attempts);
    for (size_t i = 0; ok && i < a->webhook_count; i++)
        ok = webhook(b, &a->webhooks[i]);
    return ok;
}
