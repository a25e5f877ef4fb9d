-- billing/schema/0019.sql -- which requests were settled in a minute.
--
-- Settlements have no index by time.  Of each minute in which something was settled: the ids lie in
-- [from_rid, to_rid), among others that were settled at other times.  Made of the settlements once, which
-- of a long history takes a while.
CREATE TABLE settled_minute (
    minute_us INTEGER PRIMARY KEY,
    from_rid  INTEGER NOT NULL,
    to_rid    INTEGER NOT NULL CHECK (to_rid > from_rid)
) STRICT;
INSERT INTO settled_minute
    SELECT settled_us - settled_us % 60000000, min(rid), max(rid) + 1 FROM settlement GROUP BY 1;
