-- billing/schema/0013.sql -- what the gateway itself has counted of a request, beside what its
-- backend reported.  Only requests of models with a tokenizer are here.

-- NULL: not reported, or not to be counted.  Beyond counted + tolerance nothing is billed.
CREATE TABLE recount (
    rid              INTEGER PRIMARY KEY REFERENCES settlement (rid),
    tokenizer        TEXT NOT NULL, -- its name, '@' and the beginning of its rank file's SHA-256
    input_reported   INTEGER CHECK (input_reported >= 0),
    input_counted    INTEGER CHECK (input_counted >= 0),
    input_tolerance  INTEGER NOT NULL CHECK (input_tolerance >= 0),
    output_reported  INTEGER CHECK (output_reported >= 0),
    output_counted   INTEGER CHECK (output_counted >= 0),
    output_tolerance INTEGER NOT NULL CHECK (output_tolerance >= 0),
    hidden           INTEGER NOT NULL CHECK (hidden >= 0) -- reported reasoning that was not shown:
                                                          -- in none of the numbers of the output
) STRICT;
CREATE TRIGGER recount_stays_u BEFORE UPDATE ON recount
    BEGIN SELECT RAISE(ABORT, 'a count is never changed'); END;
CREATE TRIGGER recount_stays_d BEFORE DELETE ON recount
    BEGIN SELECT RAISE(ABORT, 'a count is never changed'); END;
