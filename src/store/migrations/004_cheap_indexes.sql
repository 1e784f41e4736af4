-- A condition with a longer list of values is looked up in a table that SQLite builds anew for every
-- row it writes. Comparisons say the same.
DROP INDEX outbox_expiring;
CREATE INDEX outbox_expiring ON outbox (expires_at)
    WHERE expires_at IS NOT NULL AND (state = 10 OR state = 20 OR state = 21);

-- Nobody asks for the others.
DROP INDEX outbox_held;
CREATE INDEX outbox_claimed ON outbox (state) WHERE state = 11;
