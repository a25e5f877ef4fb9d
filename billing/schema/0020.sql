-- billing/schema/0020.sql -- price books of organizations, layered on the list.
--
-- Whose a book is:
--   owner_kind    'list' everybody's; 'contract' what its organization pays; 'resale' what the
--                 customers of its organization pay
--   organization  0 of the list
-- What a book of an organization says of a meter of a model holds instead of what the list says;
-- one that says nothing gives its organization the list again.
ALTER TABLE price_proposal ADD COLUMN owner_kind TEXT NOT NULL DEFAULT 'list'
    CHECK (owner_kind IN ('list', 'contract', 'resale'));
ALTER TABLE price_proposal ADD COLUMN organization INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER price_proposal_owner BEFORE INSERT ON price_proposal
    WHEN (new.owner_kind = 'list') <> (new.organization = 0) OR (new.organization <> 0
     AND NOT EXISTS (SELECT 1 FROM organization WHERE id = new.organization))
    BEGIN SELECT RAISE(ABORT, 'a price book is the list or of an organization'); END;

-- Each owner has one book at an instant.
ALTER TABLE price_publication RENAME TO old_publication;
CREATE TABLE price_publication (
    proposal      INTEGER PRIMARY KEY REFERENCES price_proposal (id),
    price_version INTEGER NOT NULL REFERENCES price_version (id),
    effective_us  INTEGER NOT NULL,
    notice_us     INTEGER NOT NULL CHECK (notice_us > 0),
    published_us  INTEGER NOT NULL,
    published_by  TEXT NOT NULL,
    owner_kind    TEXT NOT NULL,
    organization  INTEGER NOT NULL,
    UNIQUE (owner_kind, organization, effective_us),
    CHECK (effective_us >= published_us + notice_us)
) STRICT;
INSERT INTO price_publication SELECT *, 'list', 0 FROM old_publication;
DROP TABLE old_publication;
CREATE TRIGGER price_publication_by_two BEFORE INSERT ON price_publication
    WHEN new.published_by = (SELECT proposed_by FROM price_proposal WHERE id = new.proposal)
    BEGIN SELECT RAISE(ABORT, 'a price book is published by two people'); END;
CREATE TRIGGER price_publication_owner BEFORE INSERT ON price_publication
    WHEN NOT EXISTS (SELECT 1 FROM price_proposal p WHERE p.id = new.proposal
                     AND p.owner_kind = new.owner_kind AND p.organization = new.organization)
    BEGIN SELECT RAISE(ABORT, 'a price book is published for whom it was proposed'); END;
CREATE TRIGGER price_publication_stays_u BEFORE UPDATE ON price_publication
    BEGIN SELECT RAISE(ABORT, 'a published price book is never changed'); END;
CREATE TRIGGER price_publication_stays_d BEFORE DELETE ON price_publication
    BEGIN SELECT RAISE(ABORT, 'a published price book is never changed'); END;

-- What requests of such an organization are rated by: the text of both books in one
-- (billing/pricebook_layer.h), a version like others.
CREATE TABLE price_layer (
    price_version INTEGER PRIMARY KEY REFERENCES price_version (id),
    list_version  INTEGER NOT NULL REFERENCES price_version (id),
    own_version   INTEGER NOT NULL REFERENCES price_version (id),
    UNIQUE (list_version, own_version)
) STRICT;
CREATE TRIGGER price_layer_stays_u BEFORE UPDATE ON price_layer
    BEGIN SELECT RAISE(ABORT, 'a published price book is never changed'); END;
CREATE TRIGGER price_layer_stays_d BEFORE DELETE ON price_layer
    BEGIN SELECT RAISE(ABORT, 'a published price book is never changed'); END;
