-- billing/schema/0015.sql -- holds that grow while their request runs.

-- Insert-only, like request_open: what a request holds is hold_atoms and all of these.  On
-- disk before the client is sent what they pay for.
CREATE TABLE hold_more (
    rid   INTEGER NOT NULL REFERENCES request_open (rid),
    leg   INTEGER NOT NULL CHECK (leg > 0), -- 1, 2, ... of its request
    atoms INTEGER NOT NULL CHECK (atoms > 0),
    at_us INTEGER NOT NULL,
    PRIMARY KEY (rid, leg)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER hold_more_stays_u BEFORE UPDATE ON hold_more
    BEGIN SELECT RAISE(ABORT, 'hold_more is append-only'); END;
CREATE TRIGGER hold_more_stays_d BEFORE DELETE ON hold_more WHEN NOT EXISTS
    (SELECT 1 FROM archive WHERE state = 'dropping' AND old.rid BETWEEN from_rid AND to_rid)
    BEGIN SELECT RAISE(ABORT, 'hold_more is append-only'); END;
