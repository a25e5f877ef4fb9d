-- billing/schema/0007.sql -- who else earns from what is invoiced.

-- Of each invoiced line of the model (or, when it ends in '/', of all below it) the
-- partner gets so much, from that time on.  basis_points 0 ends it.
CREATE TABLE share_rule (
    id           INTEGER PRIMARY KEY,
    model        TEXT NOT NULL,
    partner      INTEGER NOT NULL REFERENCES organization (id),
    basis_points INTEGER NOT NULL CHECK (basis_points BETWEEN 0 AND 10000),
    from_us      INTEGER NOT NULL,
    UNIQUE (model, partner, from_us)
) STRICT;

-- What a partner got of a line; a credit note takes it back with negative amounts.
CREATE TABLE share (
    document     TEXT NOT NULL REFERENCES document (number),
    line         INTEGER NOT NULL, -- of the invoice, also in a credit note
    partner      INTEGER NOT NULL REFERENCES organization (id),
    basis_points INTEGER NOT NULL,
    net_minor    INTEGER NOT NULL, -- of the line
    amount_minor INTEGER NOT NULL CHECK (amount_minor <> 0),
    PRIMARY KEY (document, line, partner)
) STRICT, WITHOUT ROWID;
CREATE INDEX share_partner ON share (partner, document);
CREATE TRIGGER share_stays_u BEFORE UPDATE ON share
    BEGIN SELECT RAISE(ABORT, 'a share is never changed'); END;
CREATE TRIGGER share_stays_d BEFORE DELETE ON share
    BEGIN SELECT RAISE(ABORT, 'a share is never changed'); END;
CREATE TRIGGER share_rule_stays_u BEFORE UPDATE ON share_rule
    BEGIN SELECT RAISE(ABORT, 'a share rule is never changed: add one that follows it'); END;
CREATE TRIGGER share_rule_stays_d BEFORE DELETE ON share_rule
    BEGIN SELECT RAISE(ABORT, 'a share rule is never changed: add one that follows it'); END;
