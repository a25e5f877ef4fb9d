-- billing/schema/0012.sql -- what the work of backends costs us.

-- A book of costs: the text of a price book whose models are `@BACKEND/NAME`.
CREATE TABLE cost_version (
    id      INTEGER PRIMARY KEY,
    text    TEXT NOT NULL,
    sha256  BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    from_us INTEGER NOT NULL
) STRICT;

-- The calls of a request to backends of which a cost is known, in their order: written with its
-- settlement.  One that certainly never began has no row.
--   model         the id of `@BACKEND/NAME`
--   basis         who counted: upstream, gateway, estimate; none: nobody, so it costs nothing here
--   lines         as in the settlement, rated by the cost version
--   wasted_atoms  of cost_atoms, for what no customer pays: calls that were lost, answers that
--                 nobody took, what a backend went on with after its client had left
CREATE TABLE attempt (
    rid          INTEGER NOT NULL REFERENCES settlement (rid),
    number       INTEGER NOT NULL CHECK (number > 0),
    backend      INTEGER NOT NULL,
    model        INTEGER NOT NULL,
    cost_version INTEGER NOT NULL REFERENCES cost_version (id),
    basis        TEXT NOT NULL,
    lines        TEXT NOT NULL,
    cost_atoms   INTEGER NOT NULL CHECK (cost_atoms >= 0),
    wasted_atoms INTEGER NOT NULL CHECK (wasted_atoms BETWEEN 0 AND cost_atoms),
    PRIMARY KEY (rid, number)
) STRICT, WITHOUT ROWID;

-- Sums of attempts, kept in their transaction; model is the one that was billed.
CREATE TABLE cost_rollup (
    hour_us      INTEGER NOT NULL,
    project      INTEGER NOT NULL,
    model        INTEGER NOT NULL,
    backend      INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    cost_atoms   INTEGER NOT NULL,
    wasted_atoms INTEGER NOT NULL,
    PRIMARY KEY (hour_us, project, model, backend)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER cost_version_stays_u BEFORE UPDATE ON cost_version
    BEGIN SELECT RAISE(ABORT, 'a book of costs is never changed'); END;
CREATE TRIGGER cost_version_stays_d BEFORE DELETE ON cost_version
    BEGIN SELECT RAISE(ABORT, 'a book of costs is never changed'); END;
CREATE TRIGGER attempt_stays_u BEFORE UPDATE ON attempt
    BEGIN SELECT RAISE(ABORT, 'attempt is append-only'); END;
CREATE TRIGGER attempt_stays_d BEFORE DELETE ON attempt
    BEGIN SELECT RAISE(ABORT, 'attempt is append-only'); END;
