-- billing/schema/0018.sql -- what backends cost may leave with its month.
--
-- The sums of attempts know their billing period, as those of usage do; the attempts tell it, so
-- the rows are made of them again.
ALTER TABLE cost_rollup RENAME TO old_rollup;
CREATE TABLE cost_rollup (
    hour_us      INTEGER NOT NULL,
    project      INTEGER NOT NULL,
    model        INTEGER NOT NULL,
    backend      INTEGER NOT NULL,
    period       INTEGER NOT NULL REFERENCES billing_period (id),
    attempts     INTEGER NOT NULL,
    cost_atoms   INTEGER NOT NULL,
    wasted_atoms INTEGER NOT NULL,
    PRIMARY KEY (hour_us, project, model, backend, period)
) STRICT, WITHOUT ROWID;
INSERT INTO cost_rollup
    SELECT s.settled_us - s.settled_us % 3600000000, s.project, s.model, a.backend, b.id, count(*),
           sum(a.cost_atoms), sum(a.wasted_atoms)
    FROM attempt a JOIN settlement s ON s.rid = a.rid JOIN project p ON p.id = s.project
    JOIN billing_period b ON b.organization = p.organization
     AND b.starts_us <= s.settled_us AND b.ends_us > s.settled_us
    GROUP BY 1, 2, 3, 4, 5;
DROP TABLE old_rollup;

-- From here on 'usage' and 'upstream' are the postings that leave, and attempts leave before their
-- settlements.
DROP TRIGGER attempt_stays_d;
CREATE TRIGGER attempt_stays_d BEFORE DELETE ON attempt WHEN NOT EXISTS
    (SELECT 1 FROM archive WHERE state = 'dropping' AND old.rid BETWEEN from_rid AND to_rid)
    BEGIN SELECT RAISE(ABORT, 'attempt is append-only'); END;
DROP TRIGGER ledger_tx_stays_d;
CREATE TRIGGER ledger_tx_stays_d BEFORE DELETE ON ledger_tx
    WHEN old.kind NOT IN ('usage', 'upstream') OR NOT EXISTS
    (SELECT 1 FROM billing_period b CROSS JOIN archive a ON a.id = b.archive AND a.state = 'dropping'
     WHERE b.organization = old.organization AND b.starts_us <= old.at_us AND b.ends_us > old.at_us)
    BEGIN SELECT RAISE(ABORT, 'ledger_tx is append-only'); END;
DROP TRIGGER ledger_entry_stays_d;
CREATE TRIGGER ledger_entry_stays_d BEFORE DELETE ON ledger_entry
    WHEN NOT EXISTS
    (SELECT 1 FROM ledger_tx t CROSS JOIN billing_period b ON b.organization = t.organization
     CROSS JOIN archive a ON a.id = b.archive AND a.state = 'dropping'
     WHERE t.tx = old.tx AND t.kind IN ('usage', 'upstream')
       AND b.starts_us <= t.at_us AND b.ends_us > t.at_us)
    BEGIN SELECT RAISE(ABORT, 'ledger_entry is append-only'); END;
