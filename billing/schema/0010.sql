-- billing/schema/0010.sql -- what a start and a new month look at does not grow with history.

-- What was posted for a document; usage has no ref, so it costs a batch nothing.
CREATE INDEX ledger_tx_ref ON ledger_tx (ref) WHERE ref IS NOT NULL;

-- open_until: the fund's to_us while something may be left of it; NULL: used up or expired.
ALTER TABLE fund_balance ADD COLUMN open_until INTEGER;
UPDATE fund_balance SET open_until = (SELECT to_us FROM fund f WHERE f.id = fund
    AND f.amount_atoms > drawn_atoms + expired_atoms);
CREATE INDEX fund_balance_open ON fund_balance (open_until) WHERE open_until IS NOT NULL;
DROP TRIGGER fund_has_balance;
CREATE TRIGGER fund_has_balance AFTER INSERT ON fund BEGIN
    INSERT INTO fund_balance (fund, open_until) VALUES (new.id, new.to_us);
END;
