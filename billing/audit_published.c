/* billing/audit_published.c -- price books that two people published: that they are what was said yes
 * to, by another person and in time, and that each request has the one of its acceptance (I19).
 */
#include "base/digest.h"
#include "billing/audit_inside.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char sql_books[] = "SELECT 'version', id, text, sha256 FROM price_version UNION ALL"
                                " SELECT 'draft', id, text, sha256 FROM price_proposal";
static const char sql_publications[] =
    "SELECT u.proposal, u.effective_us, u.notice_us, u.published_us, u.published_by, p.proposed_us,"
    " p.proposed_by, p.effective_us, v.text = p.text AND v.book = p.book"
    " AND v.currency = p.currency AND v.sha256 = p.sha256, a.created_us, a.revoked_us,"
    " u.price_version, v.effective_from_us, u.owner_kind,"
    " iif(u.owner_kind = 'resale', -u.organization, u.organization),"
    " u.owner_kind IS p.owner_kind AND u.organization IS p.organization,"
    " instr(v.text, char(10)) < length(v.text) FROM price_publication u"
    " LEFT JOIN price_proposal p ON p.id = u.proposal"
    " LEFT JOIN price_version v ON v.id = u.price_version"
    " LEFT JOIN price_approver a ON 'key:' || a.name = u.published_by"
    " ORDER BY 15, u.effective_us";

enum {
    U_PROPOSAL,
    U_EFFECTIVE,
    U_NOTICE,
    U_PUBLISHED,
    U_BY,
    P_PROPOSED,
    P_BY,
    P_EFFECTIVE,
    U_SAME_TEXT,
    A_CREATED,
    A_REVOKED,
    U_VERSION,
    V_FROM,
    U_KIND,
    U_ORGANIZATION,
    U_SAME_OWNER,
    V_SAYS,
};

static enum status book_row(struct audit *a, struct db_stmt *s)
{
    size_t len, sha_len;
    const char *text = db_col_text(s, 2, &len);
    const void *sha256 = db_col_blob(s, 3, &sha_len);
    uint8_t own[DIGEST_BYTES];
    digest_sha256(text, len, own);
    if (sha_len != sizeof own || memcmp(sha256, own, sizeof own) != 0)
        audit_problem(a, "price book %s %" PRId64 ": its hash is not that of its text",
                      db_col_text(s, 0, NULL), db_col_int(s, 1));
    return STATUS_OK;
}

static void check_people(struct audit *a, struct db_stmt *s)
{
    const char *by = db_col_text(s, U_BY, NULL), *proposed_by = db_col_text(s, P_BY, NULL);
    int64_t id = db_col_int(s, U_PROPOSAL);
    bool with_key = strncmp(by, "key:", 4) == 0;
    if (strcmp(by, proposed_by) == 0)
        audit_problem(a, "draft %" PRId64 " was published by one person alone", id);
    if (with_key &&
        (db_col_null(s, A_CREATED) || db_col_int(s, A_CREATED) >= db_col_int(s, P_PROPOSED)))
        audit_problem(a, "draft %" PRId64 " was published by one who was no approver before it",
                      id);
    if (with_key && db_col_int(s, A_REVOKED) &&
        db_col_int(s, A_REVOKED) <= db_col_int(s, U_PUBLISHED))
        audit_problem(a, "draft %" PRId64 " was published with a revoked key", id);
    if (!with_key && strncmp(by, "uid:", 4) != 0)
        audit_problem(a, "draft %" PRId64 " was published by nobody that is known", id);
}

static bool keep_term(struct audit *a, struct db_stmt *s)
{
    struct audit_term *more = realloc(a->terms, (a->term_count + 1) * sizeof *more);
    if (!more)
        return false;
    a->terms = more;
    a->terms[a->term_count++] =
        (struct audit_term){ db_col_int(s, U_ORGANIZATION), db_col_int(s, U_EFFECTIVE),
                             db_col_int(s, U_VERSION), db_col_int(s, V_FROM),
                             db_col_int(s, V_SAYS) != 0 };
    return true;
}

static enum status publication_row(struct audit *a, struct db_stmt *s)
{
    int64_t id = db_col_int(s, U_PROPOSAL);
    if (db_col_null(s, P_BY) || db_col_null(s, U_SAME_TEXT)) {
        audit_problem(a, "publication of draft %" PRId64 " has no draft or no version", id);
        return STATUS_OK;
    }
    check_people(a, s);
    if (!db_col_int(s, U_SAME_TEXT))
        audit_problem(a, "draft %" PRId64 " is not the version that was published", id);
    if (db_col_int(s, U_EFFECTIVE) != db_col_int(s, P_EFFECTIVE) ||
        db_col_int(s, U_EFFECTIVE) - db_col_int(s, U_NOTICE) < db_col_int(s, U_PUBLISHED) ||
        db_col_int(s, U_PUBLISHED) < db_col_int(s, P_PROPOSED))
        audit_problem(a, "draft %" PRId64 " was published without its notice", id);
    if (!db_col_int(s, U_SAME_OWNER))
        audit_problem(a, "draft %" PRId64 " was published for another than it was proposed for",
                      id);
    return keep_term(a, s) ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status audit_published(struct audit *a)
{
    enum status s = audit_query(a, sql_books, book_row);
    if (!s)
        s = audit_query(a, sql_publications, publication_row);
    return s ? s : audit_layers(a);
}

/* ---- a request ----------------------------------------------------------------------------- */

static bool has_begun(const struct audit_term *t, int64_t organization, int64_t us)
{
    return t->organization < organization || (t->organization == organization && t->from_us <= us);
}

/* NULL: nothing of it was in force. */
static const struct audit_term *term_at(const struct audit *a, int64_t organization, int64_t us)
{
    size_t low = 0, high = a->term_count; /* terms before `low` had begun */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (has_begun(&a->terms[middle], organization, us))
            low = middle + 1;
        else
            high = middle;
    }
    return low && a->terms[low - 1].organization == organization ? &a->terms[low - 1] : NULL;
}

static void check_list(struct audit *a, int64_t rid, int64_t version, int64_t accepted_us)
{
    const struct audit_term *list = term_at(a, 0, accepted_us);
    if (list && list->version != version)
        audit_problem(a,
                      "request %" PRId64 " has price version %" PRId64 ", but version %" PRId64
                      " was in force when it was accepted",
                      rid, version, list->version);
    for (size_t i = 0; !list && i < a->term_count; i++)
        if (a->terms[i].version == version && a->terms[i].version_from_us > accepted_us)
            audit_problem(
                a, "request %" PRId64 " has price version %" PRId64 ", which was not in force yet",
                rid, version);
}

/* The list of then, with the book on it that the organization had then; a reseller without one for its
 * customers (negative) asks what it pays. */
void audit_acceptance(struct audit *a, int64_t rid, int64_t version, int64_t accepted_us,
                      int64_t organization)
{
    const struct audit_term *own = organization ? term_at(a, organization, accepted_us) : NULL;
    if (organization < 0 && !(own && own->says))
        own = term_at(a, -organization, accepted_us);
    const struct audit_layer *layer = audit_layer_of(a, version);
    if (a->is_archive) /* which has no publications */
        return;
    if (own && own->says) {
        if (!layer || layer->own != own->version)
            audit_problem(a,
                          "request %" PRId64 " has price version %" PRId64
                          ", without the book of its organization, version %" PRId64,
                          rid, version, own->version);
        else
            check_list(a, rid, layer->list, accepted_us);
        return;
    }
    if (layer)
        audit_problem(a,
                      "request %" PRId64 " has price version %" PRId64
                      " with the book of an organization that had none",
                      rid, version);
    else
        check_list(a, rid, version, accepted_us);
}
