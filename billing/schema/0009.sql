-- billing/schema/0009.sql -- the sums know how a model was called.
--
--   endpoint      as in the settlement
--   tier          the service tier that chose the prices: 'standard', 'flex', 'priority'
--   long_context  1: the request's lines have more than 200,000 input tokens
--
-- All three are told by the settlements, so the rows are made of them again; of a long
-- history that takes a while, once.

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
    endpoint      TEXT NOT NULL,
    tier          TEXT NOT NULL CHECK (tier IN ('standard', 'flex', 'priority')),
    long_context  INTEGER NOT NULL CHECK (long_context IN (0, 1)),
    qty           INTEGER NOT NULL,
    requests      INTEGER NOT NULL,
    atoms         INTEGER NOT NULL,
    covered_atoms INTEGER NOT NULL,
    PRIMARY KEY (hour_us, project, key, model, meter, price_version, item, period, endpoint, tier,
                 long_context)
) STRICT, WITHOUT ROWID;
-- What funds paid covers the lines of a settlement in their order.  1, 2, 3, 11, 13, 16 and 17 are
-- the meters of input tokens (base/usage.h).
INSERT INTO usage_rollup
    SELECT s.settled_us - s.settled_us % 3600000000, s.project, s.key, s.model,
           coalesce(l.value ->> 0, 0), s.price_version, coalesce(l.value ->> 3, 0), b.id, s.endpoint,
           coalesce((SELECT f.value ->> 'service_tier' FROM json_each(s.lines) f
                     WHERE f.type = 'object'
                       AND f.value ->> 'service_tier' IN ('flex', 'priority')), 'standard'),
           coalesce((SELECT sum(t.value ->> 1) FROM json_each(s.lines) t WHERE t.type = 'array'
                     AND t.value ->> 0 IN (1, 2, 3, 11, 13, 16, 17)), 0) > 200000,
           sum(coalesce(l.value ->> 1, 0)), sum(coalesce(l.key, 0) = 0),
           sum(coalesce(l.value ->> 2, 0)),
           sum(max(0, min(coalesce(l.value ->> 2, 0),
               coalesce((SELECT sum(d.value ->> 1) FROM json_each(s.draws) d), 0)
               - coalesce((SELECT sum(e.value ->> 2) FROM json_each(s.lines) e
                           WHERE e.type = 'array' AND e.key < l.key), 0))))
    FROM settlement s LEFT JOIN json_each(s.lines) l ON l.type = 'array'
    JOIN project p ON p.id = s.project
    JOIN billing_period b ON b.organization = p.organization
     AND b.starts_us <= s.settled_us AND b.ends_us > s.settled_us
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;
DROP TABLE old_rollup;
CREATE TRIGGER usage_rollup_of_open_period BEFORE INSERT ON usage_rollup
    WHEN (SELECT closed_us FROM billing_period WHERE id = new.period) <> 0
    BEGIN SELECT RAISE(ABORT, 'the billing period is closed'); END;
