-- billing/schema/0004.sql -- documents that follow an invoice, approval, payment, taxes of charges.

-- Who said yes to a draft.  It is issued only as it was approved: body_sha256 is that
-- of its canonical JSON without dates and numbers.
CREATE TABLE approval (
    id           INTEGER PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organization (id),
    starts_us    INTEGER NOT NULL, -- of the period
    approved_by  TEXT NOT NULL,
    approved_us  INTEGER NOT NULL,
    body_sha256  BLOB NOT NULL CHECK (length(body_sha256) = 32)
) STRICT;
CREATE INDEX approval_period ON approval (organization, starts_us);

-- What a credit note takes back of an invoice's lines, so that no line is credited twice.
CREATE TABLE credit_line (
    number    TEXT NOT NULL REFERENCES document (number), -- of the credit note
    invoice   TEXT NOT NULL REFERENCES document (number),
    line      INTEGER NOT NULL,                           -- of the invoice
    net_minor INTEGER NOT NULL CHECK (net_minor > 0),
    PRIMARY KEY (number, line)
) STRICT, WITHOUT ROWID;
CREATE INDEX credit_line_invoice ON credit_line (invoice, line);

CREATE TABLE payment (
    id           INTEGER PRIMARY KEY,
    document     TEXT NOT NULL REFERENCES document (number),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    note         TEXT NOT NULL DEFAULT '',
    paid_us      INTEGER NOT NULL
) STRICT;
CREATE INDEX payment_document ON payment (document);

-- NULL: those of the contract.
ALTER TABLE charge ADD COLUMN tax_category TEXT;
ALTER TABLE charge ADD COLUMN tax_basis_points INTEGER;
-- A fee for a year is earned month by month.
ALTER TABLE charge ADD COLUMN deferred INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER approval_stays_u BEFORE UPDATE ON approval
    BEGIN SELECT RAISE(ABORT, 'an approval is never changed'); END;
CREATE TRIGGER approval_stays_d BEFORE DELETE ON approval
    BEGIN SELECT RAISE(ABORT, 'an approval is never changed'); END;
CREATE TRIGGER credit_line_stays_u BEFORE UPDATE ON credit_line
    BEGIN SELECT RAISE(ABORT, 'a credit note is never changed'); END;
CREATE TRIGGER credit_line_stays_d BEFORE DELETE ON credit_line
    BEGIN SELECT RAISE(ABORT, 'a credit note is never changed'); END;
CREATE TRIGGER payment_stays_u BEFORE UPDATE ON payment
    BEGIN SELECT RAISE(ABORT, 'a payment is never changed'); END;
CREATE TRIGGER payment_stays_d BEFORE DELETE ON payment
    BEGIN SELECT RAISE(ABORT, 'a payment is never changed'); END;
