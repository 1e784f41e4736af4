-- Seals over the rows of the small tables. Those of messages and events need no column: they stand
-- where the narrower checksum stood, and are told from it by their sign.
ALTER TABLE facts ADD COLUMN seal INTEGER;
ALTER TABLE tally ADD COLUMN seal INTEGER;
ALTER TABLE cursors ADD COLUMN seal INTEGER;
ALTER TABLE resume ADD COLUMN seal INTEGER;
ALTER TABLE kept ADD COLUMN seal INTEGER;
ALTER TABLE remembered ADD COLUMN seal INTEGER;
ALTER TABLE quarantine ADD COLUMN seal INTEGER;

UPDATE facts SET seal = seal(name, value);
UPDATE cursors SET seal = seal(name, seq, last_seen);
UPDATE resume SET seal = seal(server, stream, cursor);
UPDATE kept SET seal = seal(server, name, value);
UPDATE remembered SET seal = seal(name, value);
