/* billing/publication.c -- see publication.h. */
#include "billing/publication.h"
#include "base/cleanup.h"
#include "base/db.h"
#include "base/db_list.h"
#include "base/digest.h"
#include "billing/ledger.h"
#include "billing/period.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sql_propose[] =
    "INSERT INTO price_proposal (book, currency, text, sha256, effective_us, proposed_us,"
    " proposed_by, owner_kind, organization) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)";
static const char sql_proposal[] =
    "SELECT p.book, p.currency, p.text, p.sha256, p.effective_us, p.proposed_us, p.proposed_by,"
    " (SELECT count(*) FROM price_publication WHERE proposal = p.id),"
    " (SELECT count(*) FROM price_publication WHERE effective_us = p.effective_us"
    "  AND owner_kind = p.owner_kind AND organization = p.organization), p.owner_kind,"
    " p.organization, coalesce((SELECT slug FROM organization WHERE id = p.organization), '')"
    " FROM price_proposal p WHERE p.id = ?1";
static const char sql_approver_since[] =
    "SELECT created_us FROM price_approver WHERE 'key:' || name = ?1";
static const char sql_publish[] = "INSERT INTO price_publication VALUES (?1,?2,?3,?4,?5,?6,?7,?8)";
/* What follows the newest one in force is past. */
static const char sql_list[] =
    "SELECT p.id, u.price_version, p.book, p.effective_us, p.sha256, p.proposed_by, p.proposed_us,"
    " u.published_by, u.published_us, u.notice_us, u.effective_us = (SELECT max(effective_us)"
    " FROM price_publication WHERE effective_us <= ?1 AND owner_kind = p.owner_kind"
    " AND organization = p.organization), p.owner_kind, coalesce(o.slug, '') FROM price_proposal p"
    " LEFT JOIN price_publication u ON u.proposal = p.id"
    " LEFT JOIN organization o ON o.id = p.organization ORDER BY p.effective_us DESC, p.id DESC";
static const char sql_configured[] =
    "SELECT v.id, v.book, v.sha256, v.effective_from_us, NOT EXISTS (SELECT 1 FROM"
    " price_publication WHERE effective_us <= ?1 AND organization = 0) FROM price_configured c"
    " JOIN price_version v ON v.id = c.price_version";
static const char sql_version_text[] =
    "SELECT text, EXISTS (SELECT 1 FROM price_publication WHERE price_version = ?1"
    " AND organization <> 0) FROM price_version WHERE id = ?1";
static const char sql_draft_text[] =
    "SELECT text, organization <> 0 FROM price_proposal WHERE id = ?1";
static const char sql_published[] = "SELECT count(*) FROM price_publication";
static const char sql_configure[] =
    "INSERT INTO price_configured VALUES (1, ?1) ON CONFLICT DO UPDATE"
    " SET price_version = excluded.price_version";
static const char sql_configured_now[] = "SELECT price_version FROM price_configured";

__attribute__((format(printf, 3, 4))) static enum status wrong(enum status status,
                                                               char err[static 256],
                                                               const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(err, 256, fmt, args);
    va_end(args);
    return status;
}

/* ---- propose ------------------------------------------------------------------------------- */

static enum status check_notice(int64_t effective_us, int64_t notice_us, int64_t now_us,
                                char err[static 256])
{
    char earliest[PERIOD_TEXT_BYTES];
    if (effective_us >= now_us + notice_us)
        return STATUS_OK;
    return wrong(STATUS_BAD_FIELD, err,
                 "it would be in force too early: with price_notice_ms of %lld not before %s",
                 (long long)notice_us / 1000, period_instant_text(now_us + notice_us, earliest));
}

enum status publication_propose(struct db *db, const struct proposal_new *p, int64_t now_us,
                                int64_t *ret_id, char err[static 256])
{
    enum status s = check_notice(p->effective_us, p->notice_us, now_us, err);
    struct db_stmt *insert = s ? NULL : db_prepare(db, sql_propose);
    if (!insert)
        return s ? s : db_status(db);
    db_text(insert, 1, p->book, -1);
    db_text(insert, 2, p->currency, -1);
    db_text(insert, 3, p->text, -1);
    db_blob(insert, 4, p->sha256, 32);
    db_int(insert, 5, p->effective_us);
    db_int(insert, 6, now_us);
    db_text(insert, 7, p->by, -1);
    db_text(insert, 8, book_kind_name(p->owner.kind), -1);
    db_int(insert, 9, p->owner.organization);
    s = db_run(insert);
    *ret_id = db_last_id(db);
    return s;
}

/* ---- approve ------------------------------------------------------------------------------- */

struct proposal {
    int64_t id, effective_us, proposed_us;
    char *book, *currency, *text, *owner_kind, *slug; /* owned */
    int64_t organization;
    char by[PERSON_BYTES];
    uint8_t sha256[32];
    bool published, taken;
};

static void proposal_clear(struct proposal *p)
{
    free(p->book);
    free(p->currency);
    free(p->text);
    free(p->owner_kind);
    free(p->slug);
}

static enum status read_proposal(struct db *db, int64_t id, struct proposal *ret)
{
    struct db_stmt *s = db_prepare(db, sql_proposal);
    if (!s)
        return db_status(db);
    db_int(s, 1, id);
    enum db_row row = db_step(s);
    enum status status = row == DB_ROW    ? STATUS_OK
                         : row == DB_DONE ? STATUS_NOT_FOUND
                                          : db_status(db);
    if (row == DB_ROW) {
        ret->id = id;
        ret->book = strdup(db_col_text(s, 0, NULL));
        ret->currency = strdup(db_col_text(s, 1, NULL));
        ret->text = strdup(db_col_text(s, 2, NULL));
        memcpy(ret->sha256, db_col_blob(s, 3, NULL), sizeof ret->sha256);
        ret->effective_us = db_col_int(s, 4);
        ret->proposed_us = db_col_int(s, 5);
        snprintf(ret->by, sizeof ret->by, "%s", db_col_text(s, 6, NULL));
        ret->published = db_col_int(s, 7) > 0;
        ret->taken = db_col_int(s, 8) > 0;
        ret->owner_kind = strdup(db_col_text(s, 9, NULL));
        ret->organization = db_col_int(s, 10);
        ret->slug = strdup(db_col_text(s, 11, NULL));
        bool whole = ret->book && ret->currency && ret->text && ret->owner_kind && ret->slug;
        status = whole ? STATUS_OK : STATUS_NO_MEMORY;
    }
    db_reset(s);
    return status;
}

/* Whoever could make a key after the proposal could be both people. */
static enum status check_person(struct db *db, const struct proposal *p, const char *by,
                                char err[static 256])
{
    if (strcmp(p->by, by) == 0)
        return wrong(STATUS_FORBIDDEN, err, "%s proposed it: a second person publishes it", by);
    struct db_stmt *s = db_prepare(db, sql_approver_since);
    if (!s)
        return db_status(db);
    db_text(s, 1, by, -1);
    int64_t since;
    enum status status = db_first_int(db, s, &since);
    if (!status && since >= p->proposed_us)
        return wrong(STATUS_FORBIDDEN, err,
                     "%s was not an approver yet when it was proposed: propose it again", by);
    return status;
}

static enum status check_approval(struct db *db, const struct proposal *p, const char *by,
                                  int64_t notice_us, int64_t now_us, char err[static 256])
{
    if (p->published)
        return wrong(STATUS_CONFLICT, err, "draft %lld is published already", (long long)p->id);
    if (p->taken)
        return wrong(STATUS_CONFLICT, err, "another book is published for just that instant");
    enum status s = check_notice(p->effective_us, notice_us, now_us, err);
    return s ? s : check_person(db, p, by, err);
}

static enum status insert_publication(struct db *db, const struct proposal *p, int64_t version,
                                      const char *by, int64_t notice_us, int64_t now_us)
{
    struct db_stmt *s = db_prepare(db, sql_publish);
    if (!s)
        return db_status(db);
    db_int(s, 1, p->id);
    db_int(s, 2, version);
    db_int(s, 3, p->effective_us);
    db_int(s, 4, notice_us);
    db_int(s, 5, now_us);
    db_text(s, 6, by, -1);
    db_text(s, 7, p->owner_kind, -1);
    db_int(s, 8, p->organization);
    return db_run(s);
}

/* What is in force afterwards is there at once, or the draft is refused. */
static enum status check_terms(struct db *db, int64_t now_us, char err[static 256])
{
    struct publication_terms t;
    enum status s = publication_terms(db, now_us, &t, err);
    if (!s)
        publication_terms_free(&t);
    return s;
}

enum status publication_approve(struct db *db, int64_t proposal, const char *by, int64_t notice_us,
                                int64_t now_us, json_t **ret, char err[static 256])
{
    AUTO(proposal_clear) struct proposal p = { 0 };
    char from[PERIOD_TEXT_BYTES], hex[DIGEST_HEX_BYTES];
    int64_t version;
    enum status s = read_proposal(db, proposal, &p);
    if (s == STATUS_NOT_FOUND)
        return wrong(s, err, "there is no draft %lld", (long long)proposal);
    if (!s)
        s = check_approval(db, &p, by, notice_us, now_us, err);
    if (!s)
        s = ledger_publish_prices(db, p.book, p.currency, p.text, p.sha256, p.effective_us,
                                  &version);
    if (!s)
        s = insert_publication(db, &p, version, by, notice_us, now_us);
    if (!s)
        s = check_terms(db, now_us, err);
    if (s)
        return s;
    *ret = json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s}", "draft", (json_int_t)proposal,
                     "version", (json_int_t)version, "price_book", p.book, "for", p.slug,
                     "effective", period_instant_text(p.effective_us, from), "sha256",
                     digest_hex(p.sha256, sizeof p.sha256, hex), "proposed_by", p.by,
                     "published_by", by);
    return *ret ? STATUS_OK : STATUS_NO_MEMORY;
}

/* ---- lists --------------------------------------------------------------------------------- */

static const char *state_of(struct db_stmt *s, int64_t now_us)
{
    int64_t effective_us = db_col_int(s, 3);
    if (db_col_null(s, 1))
        return effective_us > now_us ? "draft" : "too late";
    return effective_us > now_us ? "scheduled" : db_col_int(s, 10) ? "in force" : "past";
}

static json_t *list_row(struct db_stmt *s, const void *arg)
{
    const int64_t *now_us = arg;
    char from[PERIOD_TEXT_BYTES], proposed[PERIOD_TEXT_BYTES], published[PERIOD_TEXT_BYTES] = "";
    char hex[DIGEST_HEX_BYTES];
    bool is_draft = db_col_null(s, 1);
    if (!is_draft)
        period_instant_text(db_col_int(s, 8), published);
    json_t *row = json_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "draft",
        (json_int_t)db_col_int(s, 0), "price_book", db_col_text(s, 2, NULL), "kind",
        db_col_text(s, 11, NULL), "for", db_col_text(s, 12, NULL), "state", state_of(s, *now_us),
        "effective", period_instant_text(db_col_int(s, 3), from), "sha256",
        digest_hex(db_col_blob(s, 4, NULL), 32, hex), "proposed_by", db_col_text(s, 5, NULL),
        "proposed", period_instant_text(db_col_int(s, 6), proposed), "published_by",
        is_draft ? "" : db_col_text(s, 7, NULL), "published", published);
    if (row && !is_draft)
        json_object_set_new(row, "version", json_integer(db_col_int(s, 1)));
    return row;
}

static json_t *configured_row(struct db_stmt *s, const void *arg)
{
    char from[PERIOD_TEXT_BYTES], hex[DIGEST_HEX_BYTES];
    (void)arg;
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "version",
                     (json_int_t)db_col_int(s, 0), "price_book", db_col_text(s, 1, NULL), "kind",
                     book_kind_name(BOOK_LIST), "for", "", "state",
                     db_col_int(s, 4) ? "in force" : "past", "effective",
                     period_instant_text(db_col_int(s, 3), from), "sha256",
                     digest_hex(db_col_blob(s, 2, NULL), 32, hex), "proposed_by", "configuration",
                     "proposed", "", "published_by", "", "published", "");
}

enum status publication_list(struct db *db, int64_t now_us, json_t **ret)
{
    struct db_stmt *published = db_prepare(db, sql_list),
                   *configured = db_prepare(db, sql_configured);
    AUTO(json_decref_ptr) json_t *list = NULL;
    AUTO(json_decref_ptr) json_t *last = NULL;
    if (!published || !configured)
        return db_status(db);
    db_int(published, 1, now_us);
    db_int(configured, 1, now_us);
    enum status s = db_list(db, published, list_row, &now_us, &list);
    if (!s)
        s = db_list(db, configured, configured_row, NULL, &last);
    if (!s && json_array_extend(list, last))
        s = STATUS_NO_MEMORY;
    if (!s)
        *ret = TAKE(list);
    return s;
}

enum status publication_text(struct db *db, bool draft, int64_t id, char **ret, bool *ret_own)
{
    struct db_stmt *s = db_prepare(db, draft ? sql_draft_text : sql_version_text);
    if (!s)
        return db_status(db);
    db_int(s, 1, id);
    enum db_row row = db_step(s);
    char *text = row == DB_ROW ? strdup(db_col_text(s, 0, NULL)) : NULL;
    *ret_own = row == DB_ROW && db_col_int(s, 1) != 0;
    db_reset(s);
    if (row != DB_ROW)
        return row == DB_DONE ? STATUS_NOT_FOUND : db_status(db);
    *ret = text;
    return text ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status publication_configured(struct db *db, int64_t version)
{
    struct db_stmt *published = db_prepare(db, sql_published),
                   *now = db_prepare(db, sql_configured_now), *set = db_prepare(db, sql_configure);
    if (!published || !now || !set)
        return db_status(db);
    int64_t count = 0, current = 0;
    enum status s = db_first_int(db, published, &count);
    if (!s && count)
        return STATUS_CONFLICT;
    if (!s)
        s = db_first_int(db, now, &current);
    if (s || current == version)
        return s;
    db_int(set, 1, version);
    return db_run(set);
}
