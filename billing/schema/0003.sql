-- billing/schema/0003.sql -- what is bought beside usage.
--
-- A charge is an amount for a period that is no usage: a subscription's fee, a
-- commitment that was bought, what is missing to a minimum, reserved capacity, a
-- licence.  It is owed from the moment it is written (unbilled) and stands on the
-- invoice of the period that it lies in.
--   kind    subscription, commitment, minimum, reserved, other
--   fund    the fund it bought; NULL: none
CREATE TABLE charge (
    id           INTEGER PRIMARY KEY,
    organization INTEGER NOT NULL REFERENCES organization (id),
    at_us        INTEGER NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('subscription', 'commitment', 'minimum',
                                               'reserved', 'other')),
    text         TEXT NOT NULL,
    amount_atoms INTEGER NOT NULL CHECK (amount_atoms > 0),
    fund         INTEGER REFERENCES fund (id),
    created_us   INTEGER NOT NULL
) STRICT;
CREATE INDEX charge_organization ON charge (organization, at_us);
CREATE TRIGGER charge_stays_u BEFORE UPDATE ON charge
    BEGIN SELECT RAISE(ABORT, 'a charge is never changed'); END;
CREATE TRIGGER charge_stays_d BEFORE DELETE ON charge
    BEGIN SELECT RAISE(ABORT, 'a charge is never changed'); END;

-- Usage that a subscription includes is a fund of its period, drawn before all others.
ALTER TABLE fund ADD COLUMN period INTEGER REFERENCES billing_period (id);
