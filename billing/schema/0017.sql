-- billing/schema/0017.sql -- price books that two people publish.

-- Who may say yes beside the administrative socket's users: a secret of their own, of which only the
-- SHA-256 is here.  0 in revoked_us: not revoked.
CREATE TABLE price_approver (
    name       TEXT PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    created_us INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    revoked_us INTEGER NOT NULL DEFAULT 0,
    revoked_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TRIGGER price_approver_stays_u BEFORE UPDATE ON price_approver
    WHEN old.revoked_us <> 0 OR new.name <> old.name OR new.digest <> old.digest
         OR new.created_us <> old.created_us OR new.created_by <> old.created_by
    BEGIN SELECT RAISE(ABORT, 'an approver is only revoked, and once'); END;
CREATE TRIGGER price_approver_stays_d BEFORE DELETE ON price_approver
    BEGIN SELECT RAISE(ABORT, 'an approver is only revoked'); END;

-- What somebody wants to be the prices from then on: a draft that nothing is charged by.
--   text         canonical (billing/pricebook.h)
--   proposed_by  'uid:0', who asked on the administrative socket; 'key:ada', an approver
CREATE TABLE price_proposal (
    id           INTEGER PRIMARY KEY,
    book         TEXT NOT NULL,
    currency     TEXT NOT NULL,
    text         TEXT NOT NULL,
    sha256       BLOB NOT NULL CHECK (length(sha256) = 32),
    effective_us INTEGER NOT NULL,
    proposed_us  INTEGER NOT NULL,
    proposed_by  TEXT NOT NULL
) STRICT;
CREATE TRIGGER price_proposal_stays_u BEFORE UPDATE ON price_proposal
    BEGIN SELECT RAISE(ABORT, 'a proposed price book is never changed'); END;
CREATE TRIGGER price_proposal_stays_d BEFORE DELETE ON price_proposal
    BEGIN SELECT RAISE(ABORT, 'a proposed price book is never changed'); END;

-- What somebody else said yes to: from effective_us on, until the next one, every request that is
-- accepted has this version.
CREATE TABLE price_publication (
    proposal      INTEGER PRIMARY KEY REFERENCES price_proposal (id),
    price_version INTEGER NOT NULL REFERENCES price_version (id),
    effective_us  INTEGER NOT NULL UNIQUE,
    notice_us     INTEGER NOT NULL CHECK (notice_us > 0),
    published_us  INTEGER NOT NULL,
    published_by  TEXT NOT NULL,
    CHECK (effective_us >= published_us + notice_us)
) STRICT;
CREATE TRIGGER price_publication_by_two BEFORE INSERT ON price_publication
    WHEN new.published_by = (SELECT proposed_by FROM price_proposal WHERE id = new.proposal)
    BEGIN SELECT RAISE(ABORT, 'a price book is published by two people'); END;
CREATE TRIGGER price_publication_stays_u BEFORE UPDATE ON price_publication
    BEGIN SELECT RAISE(ABORT, 'a published price book is never changed'); END;
CREATE TRIGGER price_publication_stays_d BEFORE DELETE ON price_publication
    BEGIN SELECT RAISE(ABORT, 'a published price book is never changed'); END;

-- The version that a configuration gave last: in force until the first publication is.
CREATE TABLE price_configured (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    price_version INTEGER NOT NULL REFERENCES price_version (id)
) STRICT;
INSERT INTO price_configured SELECT 1, max(id) FROM price_version HAVING count(*) > 0;
