/* gateway/admin_publish.c -- price books that two people bring into force (admin_prices.h).
 *
 * Who asks is the user of the socket or, with a secret, an approver.  A publication is on disk before
 * the loops hear of it; they hear of it before the answer goes out, and that is at least the notice
 * before any request is accepted under it.
 */
#include "base/cleanup.h"
#include "base/db.h"
#include "base/log.h"
#include "billing/publication.h"
#include "conf/book.h"
#include "gateway/admin_args.h"
#include "gateway/admin_prices.h"
#include "gateway/admin_spec.h"
#include <stddef.h>
#include <stdio.h>

enum { TEXT_MAX = 200, SECRET_MAX = 200 };

/* ---- who ----------------------------------------------------------------------------------- */

static enum status find_person(struct admin_job *job, struct db *db, char ret[static PERSON_BYTES])
{
    const char *secret = job->args.secret;
    uint8_t digest[DIGEST_BYTES];
    if (!secret) {
        snprintf(ret, PERSON_BYTES, "uid:%u", (unsigned)job->peer.uid);
        return STATUS_OK;
    }
    digest_sha256(secret, strlen(secret), digest);
    enum status s = approver_find(db, digest, ret);
    return s == STATUS_NOT_FOUND
               ? admin_refuse(job, STATUS_FORBIDDEN, "secret", "the key is that of no approver")
               : s;
}

/* ---- propose ------------------------------------------------------------------------------- */

static enum status want_published(struct admin_job *job)
{
    const struct conf *c = job->daemon->conf;
    job->notice_us = (int64_t)c->price_notice_ms * 1000;
    if (conf_published_prices(c))
        return STATUS_OK;
    return admin_refuse(job, STATUS_CONFLICT, "",
                        "prices are those of the configuration: set price_source: published, and "
                        "leave its prices out; those in force stay until a book is published");
}

static enum status read_from(struct admin_job *job)
{
    const struct env *env = job->daemon->env;
    enum status s = want_published(job);
    if (!s && !admin_read_expiry(job->args.from, env->wall_us(env->arg), &job->from_us))
        return admin_refuse(job, STATUS_BAD_FIELD, "from",
                            "'%s' is neither a time ahead such as 30d nor a date such as "
                            "2027-01-01 or 2027-01-01T00:00:00Z within ten years",
                            job->args.from);
    return s;
}

/* An organization's book is held against the list of the moment from which it would be in force. */
enum status prepare_price_publish(struct admin_job *job)
{
    const struct admin_args *a = &job->args;
    enum status s = read_from(job);
    if (s)
        return s;
    admin_take_list(job, job->from_us);
    s = admin_read_book(job, a->file, a->book, &job->books[0]);
    return s || !a->owner ? s : admin_layer(job, job->books[0], &job->books[1]);
}

static enum status propose(struct admin_job *job, struct db *db, int64_t now_us,
                           struct proposal_new *p)
{
    char by[PERSON_BYTES], hex[DIGEST_HEX_BYTES], err[256] = "";
    int64_t id;
    enum status s = find_person(job, db, by);
    if (s)
        return s;
    p->effective_us = job->from_us;
    p->notice_us = job->notice_us;
    p->by = by;
    s = publication_propose(db, p, now_us, &id, err);
    if (s)
        return *err ? admin_refuse(job, s, "from", "%s", err) : s;
    return admin_answered(job, json_pack("{s:I, s:s, s:s, s:s, s:s}", "draft", (json_int_t)id,
                                         "price_book", p->book, "for", or_empty(job->args.owner),
                                         "sha256", digest_hex(p->sha256, DIGEST_BYTES, hex),
                                         "proposed_by", by));
}

enum status run_price_publish(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct catalog *c = job->books[0];
    struct proposal_new p = { .book = c->price_book,
                              .currency = c->currency,
                              .text = c->price_text,
                              .sha256 = c->price_sha256 };
    enum status s = admin_find_owner(job, db, &p.owner);
    return s ? s : propose(job, db, now_us, &p);
}

/* ---- withdraw ------------------------------------------------------------------------------ */

enum status prepare_price_withdraw(struct admin_job *job)
{
    enum status s = read_from(job);
    if (!s)
        admin_take_list(job, job->from_us);
    return s;
}

/* From then on a book without a price. */
enum status run_price_withdraw(struct admin_job *job, struct db *db, int64_t now_us)
{
    static const char name[] = "the list";
    char text[80];
    uint8_t sha256[DIGEST_BYTES];
    struct publication_terms t = { .own = NULL };
    struct proposal_new p = {
        .book = name, .currency = job->list->currency, .text = text, .sha256 = sha256
    };
    enum status s = admin_find_owner(job, db, &p.owner);
    if (!s)
        s = publication_own_books(db, p.owner, job->from_us, &t);
    bool any = t.own_count > 0;
    publication_terms_free(&t);
    if (!s && !any)
        return admin_refuse(job, STATUS_CONFLICT, "owner",
                            "'%s' has no price book of its own that would be in force then",
                            job->args.owner);
    int len = snprintf(text, sizeof text, "currency %s book %s\n", p.currency, name);
    digest_sha256(text, (size_t)len, sha256);
    return s ? s : propose(job, db, now_us, &p);
}

/* ---- approve ------------------------------------------------------------------------------- */

/* It is on disk: the loops get it before the answer goes out. */
static enum status serve_prices(struct admin_job *job)
{
    char err[DAEMON_ERROR_BYTES];
    log_info("price_book_published draft=%lld by_uid=%u by_pid=%d", (long long)job->args.draft,
             (unsigned)job->peer.uid, (int)job->peer.pid);
    enum status s = daemon_reprice(job->daemon, err);
    if (s == STATUS_OK)
        return s;
    log_env("price_book_not_served reason: %s", err);
    return admin_refuse(job, s, "", "it is published, but must be taken by a reload: %.150s", err);
}

enum status prepare_price_approve(struct admin_job *job)
{
    job->after = serve_prices;
    return want_published(job);
}

enum status run_price_approve(struct admin_job *job, struct db *db, int64_t now_us)
{
    char by[PERSON_BYTES], err[256] = "";
    enum status s = find_person(job, db, by);
    if (!s)
        s = publication_approve(db, job->args.draft, by, job->notice_us, now_us, &job->result, err);
    return s && *err ? admin_refuse(job, s, "draft", "%s", err) : s;
}

enum status run_price_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    json_t *list = NULL;
    enum status s = publication_list(db, now_us, &list);
    return s ? s : admin_answered(job, json_pack("{s:o}", "data", list));
}

/* ---- approvers ----------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(const char *text, uint8_t ret[static DIGEST_BYTES])
{
    if (strlen(text) != DIGEST_HEX_BYTES - 1)
        return false;
    for (unsigned i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

enum status run_approver_add(struct admin_job *job, struct db *db, int64_t now_us)
{
    const struct admin_args *a = &job->args;
    uint8_t digest[DIGEST_BYTES];
    char by[PERSON_BYTES];
    if (!read_digest(a->digest, digest))
        return admin_refuse(job, STATUS_BAD_FIELD, "digest",
                            "'%.70s' is not the digest that maasgate price key prints", a->digest);
    enum status s = find_person(job, db, by);
    if (!s)
        s = approver_add(db, a->name, digest, by, now_us);
    if (s == STATUS_CONFLICT || s == STATUS_BAD_FIELD)
        return admin_refuse(
            job, s, "name",
            "a name is 1 to 63 of a-z, 0-9 and '-', and is given once, as is a key");
    return s ? s : admin_answered(job, json_pack("{s:s, s:s}", "name", a->name, "created_by", by));
}

enum status run_approver_revoke(struct admin_job *job, struct db *db, int64_t now_us)
{
    const char *name = job->args.name;
    char by[PERSON_BYTES];
    enum status s = find_person(job, db, by);
    if (!s)
        s = approver_revoke(db, name, by, now_us);
    if (s == STATUS_NOT_FOUND)
        return admin_refuse(job, s, "name", "there is no approver '%s' that could be revoked",
                            name);
    return s ? s : admin_answered(job, json_pack("{s:s, s:s}", "name", name, "revoked_by", by));
}

enum status run_approver_list(struct admin_job *job, struct db *db, int64_t now_us)
{
    (void)now_us;
    json_t *list = NULL;
    enum status s = approver_list(db, &list);
    return s ? s : admin_answered(job, json_pack("{s:o}", "data", list));
}

/* ---- arguments ----------------------------------------------------------------------------- */

const struct json_spec admin_publish_args[] = {
    TEXT(book, true, BOOK_BYTES_MAX),
    TEXT(from, true, TEXT_MAX),
    TEXT(file, false, TEXT_MAX),
    TEXT(owner, false, TEXT_MAX),
    TEXT(secret, false, SECRET_MAX),
    FLAG(resale),
    END,
};
const struct json_spec admin_withdraw_args[] = {
    TEXT(owner, true, TEXT_MAX),     FLAG(resale), TEXT(from, true, TEXT_MAX),
    TEXT(secret, false, SECRET_MAX), END,
};
const struct json_spec admin_price_approve_args[] = {
    { "draft", WANT_INT, true, offsetof(struct admin_args, draft), 1, INT64_MAX },
    TEXT(secret, false, SECRET_MAX),
    END,
};
const struct json_spec admin_approver_add_args[] = { TEXT(name, true, APPROVER_NAME_BYTES_MAX),
                                                     TEXT(digest, true, TEXT_MAX), END };
const struct json_spec admin_approver_args[] = { TEXT(name, true, APPROVER_NAME_BYTES_MAX), END };
