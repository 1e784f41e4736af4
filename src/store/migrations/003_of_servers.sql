-- Quarantined rows that were read as events and do not fit the schema of their type: the frame is
-- their body.
CREATE TABLE misfits (
    seq INTEGER PRIMARY KEY,
    server TEXT NOT NULL,
    stream TEXT NOT NULL,
    id TEXT,
    kind TEXT NOT NULL,
    seal INTEGER NOT NULL
) STRICT;

CREATE INDEX misfits_named ON misfits (stream, id) WHERE id IS NOT NULL;

-- Streams are told apart by their server: two servers may give the same ids. What is there is of the
-- one server there was; where there were several, nobody can tell, and ids are remembered anew.
UPDATE streams SET name = (SELECT server FROM servers) || char(10) || name
    WHERE (SELECT count(*) FROM servers) = 1;
