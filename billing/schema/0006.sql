-- billing/schema/0006.sql -- keys that read the money and call no model.

ALTER TABLE api_key ADD COLUMN role TEXT NOT NULL DEFAULT 'inference'
    CHECK (role IN ('inference', 'finance'));

-- An organisation's documents in the order of their numbers, page by page.
CREATE INDEX document_organization ON document (organization, number);
