-- billing/schema/0021.sql -- money that runs low: what was crossed, and who is told (billing/alert.h).
--
-- A crossing, once, written in the transaction of the settlement that crossed, or of the change of
-- limits that did.
--   owner      the project of a budget, else the organization
--   threshold  percent of the limit; 0 of a hard stop: a request was refused
--   round      what makes it new again: when the billing period began (budgets by the month,
--              credits), 0 of a budget for ever; of prepaid funds the newest one's id
--   limit_atoms  the budget, the credit, the newest prepaid fund
--   spent_atoms  of the limit, then
--   last_tx    the newest of the ledger's transactions then: its sums can be added up again
CREATE TABLE alert (
    id           INTEGER PRIMARY KEY,
    type         TEXT NOT NULL CHECK (type IN
                 ('budget.threshold_reached', 'budget.hard_stop', 'credit.threshold_reached',
                  'credit.hard_stop', 'prepaid.threshold_reached', 'prepaid.hard_stop')),
    owner        INTEGER NOT NULL,
    organization INTEGER NOT NULL REFERENCES organization (id),
    threshold    INTEGER NOT NULL CHECK (threshold BETWEEN 0 AND 100),
    round        INTEGER NOT NULL,
    limit_atoms  INTEGER NOT NULL CHECK (limit_atoms >= 0),
    spent_atoms  INTEGER NOT NULL CHECK (spent_atoms >= 0),
    last_tx      INTEGER NOT NULL,
    at_us        INTEGER NOT NULL,
    UNIQUE (owner, type, round, limit_atoms, threshold)
) STRICT;
CREATE TRIGGER alert_stays_u BEFORE UPDATE ON alert
    BEGIN SELECT RAISE(ABORT, 'an alert is never changed'); END;
CREATE TRIGGER alert_stays_d BEFORE DELETE ON alert
    BEGIN SELECT RAISE(ABORT, 'an alert is never changed'); END;

-- One for each webhook of the configuration that takes it.
--   due_us    of the next attempt, while it waits
--   ended_us  when it was delivered or given up
CREATE TABLE alert_delivery (
    alert      INTEGER NOT NULL REFERENCES alert (id),
    webhook    TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'given_up')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_us     INTEGER NOT NULL,
    ended_us   INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (alert, webhook)
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_delivery_waiting ON alert_delivery (webhook, due_us) WHERE state = 'waiting';
