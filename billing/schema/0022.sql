-- billing/schema/0022.sql -- organizations that sell on (docs/decisions/0010).
--
-- An organization may be the customer of another one, its reseller: said once, one level deep.  Each
-- project of such a customer has a twin that is the reseller's, `RESELLER:PROJECT`.  A request of the
-- customer's is held and settled for the twin, like any other, so what it costs at wholesale is the
-- reseller's; and beside it, in the tables here, for the customer's own project at retail.  The legal
-- entity whose books an account is in follows from its organization: of a customer it is the reseller.

ALTER TABLE organization ADD COLUMN reseller INTEGER REFERENCES organization (id);
CREATE INDEX organization_reseller ON organization (reseller) WHERE reseller IS NOT NULL;
CREATE TRIGGER organization_one_level BEFORE INSERT ON organization
    WHEN (SELECT reseller FROM organization WHERE id = new.reseller) IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a reseller is nobody''s customer'); END;
CREATE TRIGGER organization_keeps_reseller BEFORE UPDATE OF reseller ON organization
    BEGIN SELECT RAISE(ABORT, 'who an organization buys from is said once'); END;

-- wholesale: the twin; NULL: nobody sells on.
ALTER TABLE project ADD COLUMN wholesale INTEGER REFERENCES project (id);
CREATE INDEX project_wholesale ON project (wholesale) WHERE wholesale IS NOT NULL;
-- The twin has no budget of its own until it is given one; its cost centre is the customer, so that
-- the statements of the reseller's invoice are by customer.
CREATE TRIGGER project_has_twin AFTER INSERT ON project
    WHEN new.wholesale IS NULL AND (SELECT reseller FROM organization WHERE id = new.organization) IS NOT NULL BEGIN
    INSERT INTO project (slug, display_name, budget_atoms, budget_period, organization, cost_centre,
                         created_us)
        SELECT r.slug || ':' || new.slug, new.display_name, 9000000000000000000, 'total', r.id, c.slug,
               new.created_us
        FROM organization c JOIN organization r ON r.id = c.reseller WHERE c.id = new.organization;
    UPDATE project SET wholesale = last_insert_rowid() WHERE id = new.id;
END;
CREATE TRIGGER project_keeps_twin BEFORE UPDATE OF wholesale, organization ON project
    WHEN old.wholesale IS NOT NULL OR new.organization IS NOT old.organization
    BEGIN SELECT RAISE(ABORT, 'whose project it is does not change'); END;
CREATE TRIGGER api_key_of_no_twin BEFORE INSERT ON api_key
    WHEN EXISTS (SELECT 1 FROM project WHERE wholesale = new.project)
    BEGIN SELECT RAISE(ABORT, 'a twin has no keys: they are of the project that it is for'); END;

-- Who issues the documents of its customers.  The last row of an organization holds.
CREATE TABLE seller (
    id               INTEGER PRIMARY KEY,
    organization     INTEGER NOT NULL REFERENCES organization (id),
    name             TEXT NOT NULL,
    address          TEXT NOT NULL,
    tax_id           TEXT NOT NULL,
    series           TEXT NOT NULL CHECK (series <> ''),
    tax_basis_points INTEGER NOT NULL CHECK (tax_basis_points BETWEEN 0 AND 10000),
    created_us       INTEGER NOT NULL
) STRICT;
CREATE INDEX seller_organization ON seller (organization);
CREATE TRIGGER seller_has_own_series BEFORE INSERT ON seller
    WHEN EXISTS (SELECT 1 FROM seller WHERE series = new.series AND organization <> new.organization)
    OR EXISTS (SELECT 1 FROM document d JOIN organization o ON o.id = d.organization
               WHERE d.series LIKE new.series || '-%' AND o.reseller IS NOT new.organization)
    BEGIN SELECT RAISE(ABORT, 'the series is another seller''s'); END;
CREATE TRIGGER seller_stays_u BEFORE UPDATE ON seller
    BEGIN SELECT RAISE(ABORT, 'a seller is never changed: the next row follows it'); END;
CREATE TRIGGER seller_stays_d BEFORE DELETE ON seller
    BEGIN SELECT RAISE(ABORT, 'a seller is never changed'); END;

-- What the customer holds of its own, with request_open.  Such holds do not grow: they are for all of
-- what the request can come to.
CREATE TABLE resale_hold (
    rid           INTEGER PRIMARY KEY REFERENCES request_open (rid),
    project       INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    hold_atoms    INTEGER NOT NULL CHECK (hold_atoms >= 0)
) STRICT;
-- What it owes, with the settlement: columns as there.
CREATE TABLE resale (
    rid           INTEGER PRIMARY KEY REFERENCES settlement (rid),
    project       INTEGER NOT NULL,
    model         INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    amount_atoms  INTEGER NOT NULL CHECK (amount_atoms >= 0),
    lines         TEXT NOT NULL,
    draws         TEXT
) STRICT;
-- Beside checkpoint.
CREATE TABLE resale_checkpoint (
    rid          INTEGER PRIMARY KEY,
    model        INTEGER NOT NULL,
    amount_atoms INTEGER NOT NULL CHECK (amount_atoms >= 0),
    lines        TEXT NOT NULL
) STRICT;
CREATE TRIGGER resale_hold_stays_u BEFORE UPDATE ON resale_hold
    BEGIN SELECT RAISE(ABORT, 'resale_hold is append-only'); END;
CREATE TRIGGER resale_hold_stays_d BEFORE DELETE ON resale_hold WHEN NOT EXISTS
    (SELECT 1 FROM archive WHERE state = 'dropping' AND old.rid BETWEEN from_rid AND to_rid)
    BEGIN SELECT RAISE(ABORT, 'resale_hold is append-only'); END;
CREATE TRIGGER resale_stays_u BEFORE UPDATE ON resale
    BEGIN SELECT RAISE(ABORT, 'resale is append-only'); END;
CREATE TRIGGER resale_stays_d BEFORE DELETE ON resale WHEN NOT EXISTS
    (SELECT 1 FROM archive WHERE state = 'dropping' AND old.rid BETWEEN from_rid AND to_rid)
    BEGIN SELECT RAISE(ABORT, 'resale is append-only'); END;
