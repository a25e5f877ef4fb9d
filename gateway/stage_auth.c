/* gateway/stage_auth.c -- whose key is it, and is it for this?  Asked before the body is read, so that
 * a stranger cannot make us hold a large one. */
#include "base/digest.h"
#include "gateway/pricing.h"
#include "gateway/request.h"
#include "gateway/retail.h"
#include <strings.h>

static struct span bearer(struct span value)
{
    enum { SCHEME = sizeof "Bearer " - 1 };
    if (value.len < SCHEME || strncasecmp(value.at, "Bearer ", SCHEME) != 0)
        return (struct span){ "", 0 };
    return (struct span){ value.at + SCHEME, value.len - SCHEME };
}

static void wipe(struct span *s)
{
    if (s->len)
        digest_wipe((void *)(uintptr_t)s->at, s->len); /* our own arena copy */
    *s = (struct span){ "", 0 };
}

/* Not what this key is for. */
static enum verdict refuse_role(struct request *r)
{
    COUNT(&r->loop->counters, refused_auth);
    return request_fail(r, STATUS_FORBIDDEN, NULL, "%s",
                        r->key->role == KEY_FINANCE
                            ? "a finance key reads usage, costs and invoices; this endpoint takes "
                              "an inference key"
                            : "this endpoint takes a finance key: maasgate key create PROJECT "
                              "--role finance");
}

/* Only now is it known who pays. */
static void take_own_prices(struct request *r)
{
    const struct pricing *p = r->snapshot->generation->pricing;
    if (p->own)
        r->catalog = pricing_at(p, r->accepted_us,
                                (struct book_owner){ BOOK_CONTRACT, r->key->organization_id });
}

static enum verdict admit(struct request *r)
{
    if (r->key->role != r->target.row->key)
        return refuse_role(r);
    take_own_prices(r);
    if (r->key->resold && retail_begin(r) != STATUS_OK)
        return request_fail(r, STATUS_NO_MEMORY, NULL, NULL);
    return NEXT;
}

enum verdict stage_auth(struct request *r)
{
    if (r->target.row->key == KEY_NONE)
        return NEXT;
    const struct env *env = r->loop->daemon->env;
    struct span text = r->in.authorization.len ? bearer(r->in.authorization) : r->in.api_key;
    enum status s = keyring_check(r->loop->daemon->keyring, text, env->wall_us(env->arg), &r->key);
    wipe(&r->in.authorization);
    wipe(&r->in.api_key);
    if (s == STATUS_OK)
        return admit(r);
    COUNT(&r->loop->counters, refused_auth);
    return request_fail(r, s, NULL, NULL);
}
