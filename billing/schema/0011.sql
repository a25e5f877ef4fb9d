-- billing/schema/0011.sql -- a backup became the store again (billing/restore.c).
--
-- What was given out between the backup and its restore is lost, and never given again:
--   boot       of the first start that follows; the numbers between are those of lost starts
--   floor_rid  no request id below it is given any more
CREATE TABLE restoration (
    id          INTEGER PRIMARY KEY,
    restored_us INTEGER NOT NULL,
    backup_us   INTEGER NOT NULL, -- the ledger's clock in the backup
    boot        INTEGER NOT NULL UNIQUE,
    floor_rid   INTEGER NOT NULL
) STRICT;
-- Numbers of documents that were issued after the backup: gaps that are accounted for.
CREATE TABLE lost_number (
    series      TEXT NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL CHECK (last >= first),
    restoration INTEGER NOT NULL REFERENCES restoration (id),
    PRIMARY KEY (series, first)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER restoration_stays_u BEFORE UPDATE ON restoration
    BEGIN SELECT RAISE(ABORT, 'a restoration is never changed'); END;
CREATE TRIGGER restoration_stays_d BEFORE DELETE ON restoration
    BEGIN SELECT RAISE(ABORT, 'a restoration is never changed'); END;
CREATE TRIGGER lost_number_stays_u BEFORE UPDATE ON lost_number
    BEGIN SELECT RAISE(ABORT, 'a lost number is never changed'); END;
CREATE TRIGGER lost_number_stays_d BEFORE DELETE ON lost_number
    BEGIN SELECT RAISE(ABORT, 'a lost number is never changed'); END;
