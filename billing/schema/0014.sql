-- billing/schema/0014.sql -- months whose requests lie in files of their own (billing/archive.c).
--
-- A month of each contract's own time zone, whole billing periods.  Its requests, settlements
-- and postings of usage are in `file`; roll-ups, documents, balances, numbers stay here, and with
-- them what the audit needs to go on: the digest of the roll-ups, which from now on stand for the
-- settlements, and what the month had added to accounts and drawn on funds.
--   state  dropping: in the file, being taken out here; done; file: this is such a file
--   from_rid, to_rid  of its requests; others may lie between
CREATE TABLE archive (
    id             INTEGER PRIMARY KEY,
    month          TEXT NOT NULL UNIQUE,
    state          TEXT NOT NULL CHECK (state IN ('dropping', 'done', 'file')),
    file           TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    bytes          INTEGER NOT NULL,
    requests       INTEGER NOT NULL,
    from_rid       INTEGER NOT NULL,
    to_rid         INTEGER NOT NULL,
    from_tx        INTEGER NOT NULL,
    to_tx          INTEGER NOT NULL,
    rollups_sha256 BLOB NOT NULL CHECK (length(rollups_sha256) = 32),
    created_us     INTEGER NOT NULL
) STRICT;
CREATE TABLE archived_balance (
    account INTEGER NOT NULL REFERENCES account (id),
    archive INTEGER NOT NULL REFERENCES archive (id),
    atoms   INTEGER NOT NULL,
    PRIMARY KEY (account, archive)
) STRICT, WITHOUT ROWID;
CREATE TABLE archived_draw (
    archive INTEGER NOT NULL REFERENCES archive (id),
    fund    INTEGER NOT NULL REFERENCES fund (id),
    atoms   INTEGER NOT NULL CHECK (atoms > 0),
    PRIMARY KEY (archive, fund)
) STRICT, WITHOUT ROWID;
ALTER TABLE billing_period ADD COLUMN archive INTEGER REFERENCES archive (id);
CREATE INDEX billing_period_archive ON billing_period (archive) WHERE archive IS NOT NULL;

CREATE TRIGGER archive_stays_u BEFORE UPDATE ON archive
    WHEN old.state <> 'dropping' OR new.state <> 'done'
    BEGIN SELECT RAISE(ABORT, 'an archive is never changed'); END;
CREATE TRIGGER archive_stays_d BEFORE DELETE ON archive
    BEGIN SELECT RAISE(ABORT, 'an archive is never changed'); END;
CREATE TRIGGER archived_draw_stays_u BEFORE UPDATE ON archived_draw
    BEGIN SELECT RAISE(ABORT, 'an archive is never changed'); END;
CREATE TRIGGER archived_draw_stays_d BEFORE DELETE ON archived_draw
    BEGIN SELECT RAISE(ABORT, 'an archive is never changed'); END;
CREATE TRIGGER archived_balance_stays_u BEFORE UPDATE ON archived_balance
    WHEN (SELECT state FROM archive WHERE id = old.archive) <> 'dropping'
    BEGIN SELECT RAISE(ABORT, 'an archive is never changed'); END;
CREATE TRIGGER archived_balance_stays_d BEFORE DELETE ON archived_balance
    BEGIN SELECT RAISE(ABORT, 'an archive is never changed'); END;
CREATE TRIGGER billing_period_stays_archived BEFORE UPDATE ON billing_period
    WHEN old.archive IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'an archived period is never changed'); END;

-- What was written about money is still never taken away, unless it lies in an archive.
DROP TRIGGER settlement_stays_d;
CREATE TRIGGER settlement_stays_d BEFORE DELETE ON settlement WHEN NOT EXISTS
    (SELECT 1 FROM project p CROSS JOIN billing_period b ON b.organization = p.organization
     CROSS JOIN archive a ON a.id = b.archive AND a.state = 'dropping'
     WHERE p.id = old.project AND b.starts_us <= old.settled_us AND b.ends_us > old.settled_us)
    BEGIN SELECT RAISE(ABORT, 'settlement is append-only'); END;
DROP TRIGGER request_open_stays_d;
CREATE TRIGGER request_open_stays_d BEFORE DELETE ON request_open
    WHEN EXISTS (SELECT 1 FROM settlement s WHERE s.rid = old.rid)
    OR NOT EXISTS (SELECT 1 FROM archive WHERE state = 'dropping'
                   AND old.rid BETWEEN from_rid AND to_rid
                   AND old.accepted_us < created_us - 86400000000) -- no hold is open for so long
    BEGIN SELECT RAISE(ABORT, 'request_open is append-only'); END;
DROP TRIGGER ledger_tx_stays_d;
CREATE TRIGGER ledger_tx_stays_d BEFORE DELETE ON ledger_tx
    WHEN old.kind <> 'usage' OR NOT EXISTS
    (SELECT 1 FROM billing_period b CROSS JOIN archive a ON a.id = b.archive AND a.state = 'dropping'
     WHERE b.organization = old.organization AND b.starts_us <= old.at_us AND b.ends_us > old.at_us)
    BEGIN SELECT RAISE(ABORT, 'ledger_tx is append-only'); END;
DROP TRIGGER ledger_entry_stays_d;
CREATE TRIGGER ledger_entry_stays_d BEFORE DELETE ON ledger_entry
    WHEN NOT EXISTS
    (SELECT 1 FROM ledger_tx t CROSS JOIN billing_period b ON b.organization = t.organization
     CROSS JOIN archive a ON a.id = b.archive AND a.state = 'dropping'
     WHERE t.tx = old.tx AND t.kind = 'usage' AND b.starts_us <= t.at_us AND b.ends_us > t.at_us)
    BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END;
DROP TRIGGER recount_stays_d;
CREATE TRIGGER recount_stays_d BEFORE DELETE ON recount WHEN NOT EXISTS
    (SELECT 1 FROM archive WHERE state = 'dropping' AND old.rid BETWEEN from_rid AND to_rid)
    BEGIN SELECT RAISE(ABORT, 'a count is never changed'); END;
