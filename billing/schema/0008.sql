-- billing/schema/0008.sql -- Idempotency-Key: which request a client's key stands for.
--
-- A table of its own, without a reference to request_open: a key outlives the rows of its
-- request, should those ever be moved to an archive.  Rows are forgotten when they are old
-- (billing/idem.h); nothing about money is in them.
--   rid                 the request that has the key; a voided one hands it to the next
--   key_sha256          of the header's value, which itself is not kept
--   fingerprint_sha256  of method, path and body
CREATE TABLE idempotency (
    rid                INTEGER PRIMARY KEY,
    project            INTEGER NOT NULL,
    key_sha256         BLOB NOT NULL CHECK (length(key_sha256) = 32),
    fingerprint_sha256 BLOB NOT NULL CHECK (length(fingerprint_sha256) = 32),
    at_us              INTEGER NOT NULL,
    UNIQUE (project, key_sha256)
) STRICT;

-- What the request was answered, as long as it is kept.
--   content_type  NULL: application/json
--   header_bytes  of binary tensors: how much of the body is their JSON; NULL: none
CREATE TABLE idempotency_answer (
    rid          INTEGER PRIMARY KEY,
    at_us        INTEGER NOT NULL,
    content_type TEXT,
    header_bytes INTEGER,
    body         BLOB NOT NULL
) STRICT;
