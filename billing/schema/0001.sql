-- billing/schema/0001.sql -- the store, in one transaction.
--
-- Every time is in microseconds since 1970 UTC.  Every amount is in atoms, 1e-10
-- of the currency unit.  Tables that grow with each request have one integer
-- primary key and no other index: a UNIQUE blob and a second index cost five
-- times as much per row when measured (docs/decisions/0001-integer-row-ids.md).
-- What was written about money is never changed: triggers refuse it.

-- One row: what is true of the whole store.
CREATE TABLE meta (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    currency   TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

-- One row for each start of the daemon.
--   open_floor  every request_open with a smaller rid is settled: recovery looks
--               no further back, so a start takes the same time after ten
--               requests and after ten billion.  Written along with the batch in
--               which it changes, about every four seconds of traffic.
--   settled_us  the clock of the ledger when open_floor was written
--   clean       1: closed in order.  A row with 0 that is not the newest: killed.
CREATE TABLE boot (
    boot       INTEGER PRIMARY KEY,
    started_us INTEGER NOT NULL,
    open_floor INTEGER NOT NULL,
    settled_us INTEGER NOT NULL,
    clean      INTEGER NOT NULL DEFAULT 0 CHECK (clean IN (0, 1))
) STRICT;

CREATE TABLE project (
    id              INTEGER PRIMARY KEY,
    slug            TEXT NOT NULL UNIQUE,
    display_name    TEXT NOT NULL,
    budget_atoms    INTEGER NOT NULL CHECK (budget_atoms >= 0),
    budget_period   TEXT NOT NULL CHECK (budget_period IN ('month', 'total')),
    buyer_name      TEXT NOT NULL DEFAULT '',
    buyer_address   TEXT NOT NULL DEFAULT '',
    buyer_tax_id    TEXT NOT NULL DEFAULT '',
    po_number       TEXT NOT NULL DEFAULT '',
    buyer_reference TEXT NOT NULL DEFAULT '',
    created_us      INTEGER NOT NULL
) STRICT;

-- Only the keyed digest of a key is here.  0 in a limit: the configured default;
-- 0 in expires_us: never; 0 in revoked_us: not revoked.
CREATE TABLE api_key (
    id                  INTEGER PRIMARY KEY,
    name                TEXT NOT NULL UNIQUE,
    project             INTEGER NOT NULL REFERENCES project (id),
    label               TEXT NOT NULL,
    digest              BLOB NOT NULL CHECK (length(digest) = 32),
    requests_per_minute INTEGER NOT NULL DEFAULT 0 CHECK (requests_per_minute >= 0),
    tokens_per_minute   INTEGER NOT NULL DEFAULT 0 CHECK (tokens_per_minute >= 0),
    concurrency         INTEGER NOT NULL DEFAULT 0 CHECK (concurrency >= 0),
    expires_us          INTEGER NOT NULL DEFAULT 0,
    revoked_us          INTEGER NOT NULL DEFAULT 0,
    created_us          INTEGER NOT NULL
) STRICT;
CREATE INDEX api_key_project ON api_key (project, label);

-- Models and backends, so that hot rows carry a small integer.
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- A published price book: one line `model meter atoms/per_units` for each price.
CREATE TABLE price_version (
    id                INTEGER PRIMARY KEY,
    book              TEXT NOT NULL,
    currency          TEXT NOT NULL,
    text              TEXT NOT NULL,
    sha256            BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    effective_from_us INTEGER NOT NULL
) STRICT;

-- Insert #1, on disk before the first byte goes to a backend.
CREATE TABLE request_open (
    rid           INTEGER PRIMARY KEY,
    project       INTEGER NOT NULL,
    key           INTEGER NOT NULL,
    model         INTEGER NOT NULL,
    endpoint      TEXT NOT NULL,
    price_version INTEGER NOT NULL,
    estimate_in   INTEGER NOT NULL,
    max_out       INTEGER NOT NULL,
    n             INTEGER NOT NULL,
    hold_atoms    INTEGER NOT NULL CHECK (hold_atoms >= 0),
    accepted_us   INTEGER NOT NULL,
    boot          INTEGER NOT NULL
) STRICT;

-- Insert #2, on disk before the last byte of the answer: at most once per request.
-- The settlements of one batch share settled_us, and no two batches do: it names
-- the batch.  lines: [[meter,qty,atoms],...] with the ids of base/usage.h.
CREATE TABLE settlement (
    rid           INTEGER PRIMARY KEY REFERENCES request_open (rid),
    settled_us    INTEGER NOT NULL,
    project       INTEGER NOT NULL,
    key           INTEGER NOT NULL,
    model         INTEGER NOT NULL, -- the one whose price is billed
    model_served  INTEGER NOT NULL,
    backend       INTEGER NOT NULL, -- 0: none was reached
    endpoint      TEXT NOT NULL,
    price_version INTEGER NOT NULL,
    outcome       TEXT NOT NULL,
    evidence      TEXT NOT NULL,
    amount_atoms  INTEGER NOT NULL CHECK (amount_atoms >= 0),
    lines         TEXT NOT NULL,
    first_byte_us INTEGER,          -- since acceptance; NULL: there was none
    duration_us   INTEGER NOT NULL,
    http_status   INTEGER NOT NULL
) STRICT;

-- Sums of settlements, kept in their transaction.  A settlement is counted in
-- `requests` once, in the row of its first line (meter 0 when it has no line).
CREATE TABLE usage_rollup (
    hour_us       INTEGER NOT NULL,
    project       INTEGER NOT NULL,
    key           INTEGER NOT NULL,
    model         INTEGER NOT NULL,
    meter         INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    qty           INTEGER NOT NULL,
    requests      INTEGER NOT NULL,
    atoms         INTEGER NOT NULL,
    PRIMARY KEY (hour_us, project, key, model, meter, price_version)
) STRICT, WITHOUT ROWID;

-- Double entry.  Each project has five accounts, and id = 8 * project + code, so
-- that posting needs no lookup:
--   1 unbilled (settled, not yet invoiced)   2 revenue        3 receivable
--   4 rounding (invoice line - exact)        5 tax_payable
CREATE TABLE account (
    id      INTEGER PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES project (id),
    kind    TEXT NOT NULL,
    UNIQUE (project, kind)
) STRICT;
CREATE TABLE account_balance (
    account      INTEGER PRIMARY KEY REFERENCES account (id),
    posted_atoms INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE account_kind (code INTEGER PRIMARY KEY, kind TEXT NOT NULL UNIQUE) STRICT;
INSERT INTO account_kind VALUES
    (1, 'unbilled'), (2, 'revenue'), (3, 'receivable'), (4, 'rounding'), (5, 'tax_payable');
CREATE TRIGGER project_accounts AFTER INSERT ON project BEGIN
    INSERT INTO account SELECT 8 * new.id + code, new.id, kind FROM account_kind;
    INSERT INTO account_balance SELECT 8 * new.id + code, 0 FROM account_kind;
END;

-- kind 'usage': one batch and project; 'invoice': ref is its number.
CREATE TABLE ledger_tx (
    tx      INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL CHECK (kind IN ('usage', 'invoice')),
    at_us   INTEGER NOT NULL, -- usage: settled_us of the batch
    project INTEGER NOT NULL,
    ref     TEXT
) STRICT;
-- Debit > 0, credit < 0; the entries of a tx sum to 0.
CREATE TABLE ledger_entry (
    tx      INTEGER NOT NULL REFERENCES ledger_tx (tx),
    account INTEGER NOT NULL REFERENCES account (id),
    atoms   INTEGER NOT NULL CHECK (atoms <> 0 AND abs(atoms) <= 9000000000000000000),
    PRIMARY KEY (tx, account)
) STRICT, WITHOUT ROWID;

-- Issued documents.  A draft is computed when asked for and never stored.
CREATE TABLE invoice (
    number      TEXT PRIMARY KEY,
    series      TEXT NOT NULL,    -- "MG-2026": numbers in it have no gap
    project     INTEGER NOT NULL REFERENCES project (id),
    month       TEXT NOT NULL,    -- "2026-11"
    issued_us   INTEGER NOT NULL,
    net_minor   INTEGER NOT NULL,
    tax_minor   INTEGER NOT NULL,
    gross_minor INTEGER NOT NULL,
    exact_atoms INTEGER NOT NULL,
    document    TEXT NOT NULL,    -- canonical JSON: sorted keys, no spaces
    UNIQUE (project, month)
) STRICT;
CREATE TABLE doc_counter (
    series TEXT PRIMARY KEY,
    next   INTEGER NOT NULL
) STRICT;

CREATE TRIGGER request_open_stays_u BEFORE UPDATE ON request_open
    BEGIN SELECT RAISE(ABORT, 'request_open is append-only'); END;
CREATE TRIGGER request_open_stays_d BEFORE DELETE ON request_open
    BEGIN SELECT RAISE(ABORT, 'request_open is append-only'); END;
CREATE TRIGGER settlement_stays_u BEFORE UPDATE ON settlement
    BEGIN SELECT RAISE(ABORT, 'settlement is append-only'); END;
CREATE TRIGGER settlement_stays_d BEFORE DELETE ON settlement
    BEGIN SELECT RAISE(ABORT, 'settlement is append-only'); END;
CREATE TRIGGER ledger_tx_stays_u BEFORE UPDATE ON ledger_tx
    BEGIN SELECT RAISE(ABORT, 'ledger_tx is append-only'); END;
CREATE TRIGGER ledger_tx_stays_d BEFORE DELETE ON ledger_tx
    BEGIN SELECT RAISE(ABORT, 'ledger_tx is append-only'); END;
CREATE TRIGGER ledger_entry_stays_u BEFORE UPDATE ON ledger_entry
    BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END;
CREATE TRIGGER ledger_entry_stays_d BEFORE DELETE ON ledger_entry
    BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END;
CREATE TRIGGER price_version_stays_u BEFORE UPDATE ON price_version
    BEGIN SELECT RAISE(ABORT, 'a published price book is never changed'); END;
CREATE TRIGGER price_version_stays_d BEFORE DELETE ON price_version
    BEGIN SELECT RAISE(ABORT, 'a published price book is never changed'); END;
CREATE TRIGGER invoice_stays_u BEFORE UPDATE ON invoice
    BEGIN SELECT RAISE(ABORT, 'an issued invoice is never changed'); END;
CREATE TRIGGER invoice_stays_d BEFORE DELETE ON invoice
    BEGIN SELECT RAISE(ABORT, 'an issued invoice is never changed'); END;
