-- billing/schema/0016.sql -- how far a stream had come, should the daemon die in it.

-- One row for each stream that runs long enough, overwritten as it goes on and deleted with
-- its settlement: the bill as it would be now.  Recovery settles an open request by it (outcome
-- orphan, evidence estimate).
CREATE TABLE checkpoint (
    rid           INTEGER PRIMARY KEY,
    at_us         INTEGER NOT NULL,
    model         INTEGER NOT NULL, -- these three as in settlement
    model_served  INTEGER NOT NULL,
    backend       INTEGER NOT NULL,
    amount_atoms  INTEGER NOT NULL CHECK (amount_atoms >= 0),
    lines         TEXT NOT NULL,
    first_byte_us INTEGER NOT NULL
) STRICT;
