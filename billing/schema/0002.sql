-- billing/schema/0002.sql -- organisations, their contracts, funds and periods.
--
-- What was a project's alone belongs to an organisation now: who pays, under which
-- contract, out of which funds, for which period.  Each project of before becomes
-- an organisation of the same id and slug with that one project, so nothing that
-- was posted or issued changes its meaning.

CREATE TABLE organization (
    id              INTEGER PRIMARY KEY,
    slug            TEXT NOT NULL UNIQUE,
    display_name    TEXT NOT NULL,
    buyer_name      TEXT NOT NULL DEFAULT '',
    buyer_address   TEXT NOT NULL DEFAULT '',
    buyer_tax_id    TEXT NOT NULL DEFAULT '',
    buyer_reference TEXT NOT NULL DEFAULT '',
    po_number       TEXT NOT NULL DEFAULT '',
    created_us      INTEGER NOT NULL
) STRICT;

-- The terms in force from starts_us on, until the next row of the organisation.
--   credit_atoms  most that may be open: held, unbilled and receivable, beyond what
--                 funds cover.  0: prepaid.  The largest number: no limit of its own.
--   plan          canonical JSON of what is bought beside usage (billing/plan.h)
CREATE TABLE contract (
    id           INTEGER PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organization (id),
    starts_us    INTEGER NOT NULL,
    time_zone    TEXT NOT NULL DEFAULT 'UTC',
    credit_atoms INTEGER NOT NULL CHECK (credit_atoms >= 0),
    plan         TEXT NOT NULL DEFAULT '{}',
    created_us   INTEGER NOT NULL,
    UNIQUE (organization, starts_us)
) STRICT;
CREATE TRIGGER contract_stays_u BEFORE UPDATE ON contract
    BEGIN SELECT RAISE(ABORT, 'a contract is never changed: add one that follows it'); END;
CREATE TRIGGER contract_stays_d BEFORE DELETE ON contract
    BEGIN SELECT RAISE(ABORT, 'a contract is never changed: add one that follows it'); END;

-- Months of a contract's time zone as instants.  A settlement belongs to the period
-- in which the ledger's clock stamped it, so none comes late.
--   closed_us  0: open.  Once closed nothing is counted in it any more.
CREATE TABLE billing_period (
    id           INTEGER PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organization (id),
    starts_us    INTEGER NOT NULL,
    ends_us      INTEGER NOT NULL CHECK (ends_us > starts_us),
    time_zone    TEXT NOT NULL,
    closed_us    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (organization, starts_us)
) STRICT;

-- Money that usage is paid from before anything is owed: grants (promo), bought
-- commitments (commit), top-ups (prepaid).  Drawn in this order, then by priority,
-- expiry and age.  model 0: any; else the id of the one model it is for.
CREATE TABLE fund (
    id           INTEGER PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organization (id),
    kind         TEXT NOT NULL CHECK (kind IN ('promo', 'commit', 'prepaid')),
    model        INTEGER NOT NULL DEFAULT 0,
    priority     INTEGER NOT NULL DEFAULT 0,
    from_us      INTEGER NOT NULL,
    to_us        INTEGER NOT NULL CHECK (to_us > from_us),
    amount_atoms INTEGER NOT NULL CHECK (amount_atoms > 0),
    note         TEXT NOT NULL DEFAULT '',
    created_us   INTEGER NOT NULL
) STRICT;
CREATE INDEX fund_organization ON fund (organization);
CREATE TRIGGER fund_stays_u BEFORE UPDATE ON fund
    BEGIN SELECT RAISE(ABORT, 'a fund is never changed'); END;
CREATE TRIGGER fund_stays_d BEFORE DELETE ON fund
    BEGIN SELECT RAISE(ABORT, 'a fund is never changed'); END;
-- The sum of its draws, kept in their transaction.
CREATE TABLE fund_balance (
    fund          INTEGER PRIMARY KEY REFERENCES fund (id),
    drawn_atoms   INTEGER NOT NULL DEFAULT 0 CHECK (drawn_atoms >= 0),
    expired_atoms INTEGER NOT NULL DEFAULT 0 CHECK (expired_atoms >= 0)
) STRICT;
CREATE TRIGGER fund_has_balance AFTER INSERT ON fund BEGIN
    INSERT INTO fund_balance (fund) VALUES (new.id);
END;

INSERT INTO organization
    SELECT id, slug, display_name, buyer_name, buyer_address, buyer_tax_id, buyer_reference,
           po_number, created_us FROM project;
INSERT INTO contract (organization, starts_us, credit_atoms, created_us)
    SELECT id, 0, 9000000000000000000, created_us FROM project;

ALTER TABLE project ADD COLUMN organization INTEGER REFERENCES organization (id);
ALTER TABLE project ADD COLUMN cost_centre TEXT NOT NULL DEFAULT '';
DROP TRIGGER project_accounts;
UPDATE project SET organization = id;
ALTER TABLE project DROP COLUMN buyer_name;
ALTER TABLE project DROP COLUMN buyer_address;
ALTER TABLE project DROP COLUMN buyer_tax_id;
ALTER TABLE project DROP COLUMN po_number;
ALTER TABLE project DROP COLUMN buyer_reference;
CREATE INDEX project_organization ON project (organization);
CREATE TRIGGER project_belongs BEFORE INSERT ON project WHEN new.organization IS NULL
    BEGIN SELECT RAISE(ABORT, 'a project belongs to an organization'); END;
-- What was ever settled for a project, so that a start need not add it up.
CREATE TABLE project_spent (
    project INTEGER PRIMARY KEY REFERENCES project (id),
    atoms   INTEGER NOT NULL
) STRICT;
INSERT INTO project_spent
    SELECT account / 8, -posted_atoms FROM account_balance WHERE account % 8 = 2;

-- Which funds paid for it: [[fund,atoms],...]; NULL: none, all of it is owed.
ALTER TABLE settlement ADD COLUMN draws TEXT;

-- Accounts: id = 32 * organization + code (billing/accounts.h).
ALTER TABLE ledger_entry RENAME TO old_entry;
ALTER TABLE account_balance RENAME TO old_balance;
ALTER TABLE account RENAME TO old_account;
ALTER TABLE ledger_tx RENAME TO old_tx;
DROP TABLE account_kind;
CREATE TABLE account_kind (code INTEGER PRIMARY KEY, kind TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO account_kind VALUES
    (1, 'unbilled'), (2, 'revenue'), (3, 'receivable'), (4, 'rounding'), (5, 'tax_payable'),
    (6, 'customer_promo'), (7, 'customer_commit'), (8, 'customer_prepaid'),
    (9, 'deferred_revenue'), (10, 'partner_share'), (11, 'partner_payable'),
    (12, 'upstream_cost'), (13, 'upstream_payable'), (14, 'goodwill'), (15, 'write_off'),
    (16, 'breakage'), (17, 'cash');
CREATE TABLE account (
    id           INTEGER PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organization (id),
    kind         TEXT NOT NULL,
    UNIQUE (organization, kind)
) STRICT;
CREATE TABLE account_balance (
    account      INTEGER PRIMARY KEY REFERENCES account (id),
    posted_atoms INTEGER NOT NULL DEFAULT 0
) STRICT;
-- kind: what happened; ref: the number of a document, the id of a fund, or NULL.
CREATE TABLE ledger_tx (
    tx           INTEGER PRIMARY KEY,
    kind         TEXT NOT NULL,
    at_us        INTEGER NOT NULL, -- usage: settled_us of the batch
    organization INTEGER NOT NULL,
    ref          TEXT
) STRICT;
-- Debit > 0, credit < 0; the entries of a tx sum to 0.
CREATE TABLE ledger_entry (
    tx      INTEGER NOT NULL REFERENCES ledger_tx (tx),
    account INTEGER NOT NULL REFERENCES account (id),
    atoms   INTEGER NOT NULL CHECK (atoms <> 0 AND abs(atoms) <= 9000000000000000000),
    PRIMARY KEY (tx, account)
) STRICT, WITHOUT ROWID;
INSERT INTO account
    SELECT 32 * o.id + k.code, o.id, k.kind FROM organization o, account_kind k;
INSERT INTO account_balance
    SELECT 32 * o.id + k.code,
           coalesce((SELECT posted_atoms FROM old_balance WHERE account = 8 * o.id + k.code
                     AND k.code < 6), 0)
    FROM organization o, account_kind k;
INSERT INTO ledger_tx SELECT * FROM old_tx;
INSERT INTO ledger_entry SELECT tx, account / 8 * 32 + account % 8, atoms FROM old_entry;
DROP TABLE old_entry;
DROP TABLE old_balance;
DROP TABLE old_account;
DROP TABLE old_tx;
CREATE TRIGGER organization_accounts AFTER INSERT ON organization BEGIN
    INSERT INTO account SELECT 32 * new.id + code, new.id, kind FROM account_kind;
    INSERT INTO account_balance SELECT 32 * new.id + code, 0 FROM account_kind;
END;
CREATE TRIGGER ledger_tx_stays_u BEFORE UPDATE ON ledger_tx
    BEGIN SELECT RAISE(ABORT, 'ledger_tx is append-only'); END;
CREATE TRIGGER ledger_tx_stays_d BEFORE DELETE ON ledger_tx
    BEGIN SELECT RAISE(ABORT, 'ledger_tx is append-only'); END;
CREATE TRIGGER ledger_entry_stays_u BEFORE UPDATE ON ledger_entry
    BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END;
CREATE TRIGGER ledger_entry_stays_d BEFORE DELETE ON ledger_entry
    BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END;

-- The months in which anything was settled.
INSERT INTO billing_period (organization, starts_us, ends_us, time_zone)
    SELECT DISTINCT r.project,
        unixepoch(r.hour_us / 1000000, 'unixepoch', 'start of month') * 1000000,
        unixepoch(r.hour_us / 1000000, 'unixepoch', 'start of month', '+1 month') * 1000000,
        'UTC'
    FROM usage_rollup r ORDER BY 2, 1;

-- Sums of settlements, kept in their transaction.  A settlement is counted in
-- `requests` once, in the row of its first line (meter 0 when it has no line).
-- covered_atoms: of atoms, what funds paid.
ALTER TABLE usage_rollup RENAME TO old_rollup;
CREATE TABLE usage_rollup (
    hour_us       INTEGER NOT NULL,
    project       INTEGER NOT NULL,
    key           INTEGER NOT NULL,
    model         INTEGER NOT NULL,
    meter         INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    period        INTEGER NOT NULL REFERENCES billing_period (id),
    qty           INTEGER NOT NULL,
    requests      INTEGER NOT NULL,
    atoms         INTEGER NOT NULL,
    covered_atoms INTEGER NOT NULL,
    PRIMARY KEY (hour_us, project, key, model, meter, price_version, period)
) STRICT, WITHOUT ROWID;
INSERT INTO usage_rollup
    SELECT r.hour_us, r.project, r.key, r.model, r.meter, r.price_version, p.id, r.qty,
           r.requests, r.atoms, 0
    FROM old_rollup r JOIN billing_period p ON p.organization = r.project
     AND r.hour_us >= p.starts_us AND r.hour_us < p.ends_us;
DROP TABLE old_rollup;
CREATE TRIGGER usage_rollup_of_open_period BEFORE INSERT ON usage_rollup
    WHEN (SELECT closed_us FROM billing_period WHERE id = new.period) <> 0
    BEGIN SELECT RAISE(ABORT, 'the billing period is closed'); END;

-- Issued documents.  A draft is computed when asked for and never stored.
--   type  UNTDID 1001: 380 invoice, 381 credit note, 386 prepayment invoice
ALTER TABLE invoice RENAME TO old_invoice;
CREATE TABLE document (
    number       TEXT PRIMARY KEY,
    series       TEXT NOT NULL,    -- "MG-2026": numbers in it have no gap
    type         INTEGER NOT NULL CHECK (type IN (380, 381, 386)),
    organization INTEGER NOT NULL REFERENCES organization (id),
    period       INTEGER REFERENCES billing_period (id),
    refers_to    TEXT REFERENCES document (number),
    issued_us    INTEGER NOT NULL,
    net_minor    INTEGER NOT NULL,
    tax_minor    INTEGER NOT NULL,
    gross_minor  INTEGER NOT NULL,
    exact_atoms  INTEGER NOT NULL,
    body         TEXT NOT NULL     -- canonical JSON: sorted keys, no spaces
) STRICT;
CREATE UNIQUE INDEX document_of_period ON document (period) WHERE type = 380;
INSERT INTO billing_period (organization, starts_us, ends_us, time_zone)
    SELECT project, unixepoch(month || '-01') * 1000000,
           unixepoch(month || '-01', '+1 month') * 1000000, 'UTC'
    FROM old_invoice i WHERE NOT EXISTS (SELECT 1 FROM billing_period p
        WHERE p.organization = i.project AND p.starts_us = unixepoch(i.month || '-01') * 1000000);
INSERT INTO document
    SELECT i.number, i.series, 380, i.project, p.id, NULL, i.issued_us, i.net_minor, i.tax_minor,
           i.gross_minor, i.exact_atoms, i.document
    FROM old_invoice i JOIN billing_period p ON p.organization = i.project
     AND p.starts_us = unixepoch(i.month || '-01') * 1000000;
UPDATE billing_period SET closed_us =
    coalesce((SELECT issued_us FROM document d WHERE d.period = billing_period.id), 0);
DROP TABLE old_invoice;
CREATE TRIGGER document_stays_u BEFORE UPDATE ON document
    BEGIN SELECT RAISE(ABORT, 'an issued document is never changed'); END;
CREATE TRIGGER document_stays_d BEFORE DELETE ON document
    BEGIN SELECT RAISE(ABORT, 'an issued document is never changed'); END;
