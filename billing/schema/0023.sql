-- billing/schema/0023.sql -- holds of what is resold grow with their request, too.
--
-- Of a request with a second leg (0022) each part is of both, in one row: what the customer of the
-- reseller holds more beside what the reseller does.  NULL: nobody sells on.
ALTER TABLE hold_more ADD COLUMN resale_atoms INTEGER CHECK (resale_atoms >= 0);
