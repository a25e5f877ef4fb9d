/* billing/publication.h -- price books that two people publish: who proposed, who said yes, from when.
 *
 * A person is known as `uid:N`, who asked on the administrative socket, or as `key:NAME`, an approver
 * with a secret.  The one who publishes is another than the one who proposed; an approver by key was
 * there before the proposal.  See docs/decisions/0006-two-people-publish-prices.md.
 *
 * What changes rows runs inside a ledger_call; the others on any connection.
 */
#ifndef MAAS_PUBLICATION_H
#define MAAS_PUBLICATION_H
#include "base/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct db;

enum { PERSON_BYTES = 80, APPROVER_NAME_BYTES_MAX = 63 };

/* Whose a price book is.  The words are in the store. */
#define BOOK_KIND_MAP(X)                                     \
    X(LIST, "list")         /* everybody's */                \
    X(CONTRACT, "contract") /* what its organization pays */ \
    X(RESALE, "resale")     /* what the customers of its organization pay */

enum book_kind {
#define X(NAME, word) BOOK_##NAME,
    BOOK_KIND_MAP(X)
#undef X
        BOOK_KINDS
};
const char *book_kind_name(enum book_kind k);

struct book_owner {
    enum book_kind kind;
    int64_t organization; /* 0 of the list */
};

struct proposal_new {
    struct book_owner owner;
    const char *book, *currency,
        *text;             /* canonical: pricebook.h; without a price: the list again */
    const uint8_t *sha256; /* of the text */
    int64_t effective_us, notice_us;
    const char *by; /* a person */
};
/* BAD_FIELD with a sentence: it would be in force too early. */
MUST_CHECK enum status publication_propose(struct db *db, const struct proposal_new *p,
                                           int64_t now_us, int64_t *ret_id, char err[static 256]);
/* NOT_FOUND; CONFLICT: it is published, or another one is for that instant, or the list and the books
 * of organizations do not fit one another any more; FORBIDDEN: by the same person, or an approver that
 * was not there before it; BAD_FIELD: too late.  All with a sentence. */
MUST_CHECK enum status publication_approve(struct db *db, int64_t proposal, const char *by,
                                           int64_t notice_us, int64_t now_us, json_t **ret,
                                           char err[static 256]);
/* [{"draft","version","price_book","kind","for","state","effective","sha256","proposed_by","proposed",
 *   "published_by","published"}], newest first; at last the version of the configuration, if any.
 * state: draft, too late, scheduled, in force, past. for: a slug, "" of the list. */
MUST_CHECK enum status publication_list(struct db *db, int64_t now_us, json_t **ret);
/* The text of version `id`, or of a draft; free() it.  *ret_own: it is the book of an organization, with
 * only what differs.  NOT_FOUND. */
MUST_CHECK enum status publication_text(struct db *db, bool draft, int64_t id, char **ret,
                                        bool *ret_own);

/* ---- which version is in force when -------------------------------------------------------- */

struct publication_term {
    int64_t from_us; /* until the next one's */
    int64_t version;
    char *book, *text; /* owned; of an organization NULL: then the list holds */
    uint8_t sha256[32];
};
struct term_list { /* ascending */
    struct publication_term *term;
    size_t count, room;
};
struct publication_own { /* each term is a layer: the organization's book on the list of then */
    struct book_owner owner;
    struct term_list terms; /* before the first one the list holds */
};
struct publication_terms {
    struct term_list list;
    struct publication_own *own; /* by kind and organization; those that have a book */
    size_t own_count;
};
enum { PUBLICATION_OWN_MAX = 2000 }; /* books of organizations at once */

void publication_terms_free(struct publication_terms *t);
/* Those that a request accepted at now_us or later can have, and the one before for a clock that is
 * set back.  The first is the configuration's when nothing is published yet, from ever; none at all
 * when there is none.  What organizations have of their own is stored as versions, unless it is there
 * already: inside a ledger_call.  CONFLICT with a sentence: a book does not fit on the list. */
MUST_CHECK enum status publication_terms(struct db *db, int64_t now_us,
                                         struct publication_terms *ret, char err[static 256]);
/* The books in force then of that kind, of one organization or (0) of all: each has one term, with
 * what it says itself.  Any connection. */
MUST_CHECK enum status publication_own_books(struct db *db, struct book_owner of, int64_t now_us,
                                             struct publication_terms *ret);
/* The version that the configuration gives is in force.  CONFLICT: a book was published; from then on
 * only two people change prices. */
MUST_CHECK enum status publication_configured(struct db *db, int64_t version);

/* ---- approvers ----------------------------------------------------------------------------- */

/* CONFLICT: the name or the digest is there already; BAD_FIELD: no name of [a-z0-9-]{1,63}. */
MUST_CHECK enum status approver_add(struct db *db, const char *name,
                                    const uint8_t digest[static 32], const char *by,
                                    int64_t now_us);
/* NOT_FOUND: no such approver, or it is revoked already. */
MUST_CHECK enum status approver_revoke(struct db *db, const char *name, const char *by,
                                       int64_t now_us);
/* [{"name","created","created_by","revoked","revoked_by"}] */
MUST_CHECK enum status approver_list(struct db *db, json_t **ret);
/* The person that has the secret of this digest: "key:NAME".  NOT_FOUND: nobody, or revoked. */
MUST_CHECK enum status approver_find(struct db *db, const uint8_t digest[static 32],
                                     char ret[static PERSON_BYTES]);
#endif
