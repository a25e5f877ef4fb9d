-- billing/schema/0005.sql -- a model may have several prices of one meter.
--
-- item: which of them, by its place among the lines of its model and meter in the text of
-- its price version (billing/pricebook.h); 0 where there is only one.  A line of a
-- settlement is [meter,qty,atoms], with the item behind it when it is not 0, and behind
-- that the units that the period had used of it before; and behind the lines stands what
-- chose the items: {"context":TOKENS,"size":..,"quality":..,"service_tier":..}.

ALTER TABLE usage_rollup RENAME TO old_rollup;
CREATE TABLE usage_rollup (
    hour_us       INTEGER NOT NULL,
    project       INTEGER NOT NULL,
    key           INTEGER NOT NULL,
    model         INTEGER NOT NULL,
    meter         INTEGER NOT NULL,
    price_version INTEGER NOT NULL,
    item          INTEGER NOT NULL,
    period        INTEGER NOT NULL REFERENCES billing_period (id),
    qty           INTEGER NOT NULL,
    requests      INTEGER NOT NULL,
    atoms         INTEGER NOT NULL,
    covered_atoms INTEGER NOT NULL,
    PRIMARY KEY (hour_us, project, key, model, meter, price_version, item, period)
) STRICT, WITHOUT ROWID;
INSERT INTO usage_rollup
    SELECT hour_us, project, key, model, meter, price_version, 0, period, qty, requests, atoms,
           covered_atoms FROM old_rollup;
DROP TABLE old_rollup;
CREATE TRIGGER usage_rollup_of_open_period BEFORE INSERT ON usage_rollup
    WHEN (SELECT closed_us FROM billing_period WHERE id = new.period) <> 0
    BEGIN SELECT RAISE(ABORT, 'the billing period is closed'); END;
