-- What belongs to the file itself: its epoch.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row, written in every commit: numbers handed out, and counts, so that nothing is ever counted.
CREATE TABLE tally (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last_place INTEGER NOT NULL,
    low_place INTEGER NOT NULL,
    unfinished INTEGER NOT NULL,
    parked INTEGER NOT NULL,
    uncertain INTEGER NOT NULL,
    outbox_bytes INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    confirmed_total INTEGER NOT NULL,
    dropped_total INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    pruned_through INTEGER NOT NULL,
    inbox_rows INTEGER NOT NULL,
    events INTEGER NOT NULL,
    inbox_bytes INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    duplicates_total INTEGER NOT NULL,
    last_transition INTEGER NOT NULL
) STRICT;

-- Outbound messages by place. Our own ids are 16-byte blobs that hold their place and need no
-- index; ids chosen by apps (and ours that lost their place) are text and are in one.
CREATE TABLE outbox (
    place INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    strikes INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    expires_at INTEGER,
    delivery INTEGER NOT NULL,
    confirm INTEGER NOT NULL,
    resend INTEGER NOT NULL,
    was_sent INTEGER NOT NULL,
    maybe_delivered INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    lane TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT,
    id ANY NOT NULL,
    reason TEXT,
    body BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX outbox_named ON outbox (id) WHERE typeof(id) = 'text';
CREATE INDEX outbox_latest ON outbox (kind, key) WHERE delivery = 1 AND state = 10;
CREATE INDEX outbox_expiring ON outbox (expires_at)
    WHERE expires_at IS NOT NULL AND state IN (10, 20, 21);
CREATE INDEX outbox_held ON outbox (state, place) WHERE state IN (11, 20, 21);

-- The event sequence: events, and rows that stand for what is missing.
CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    form INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    stream INTEGER,
    kind TEXT,
    id TEXT,
    key TEXT,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX inbox_keyed ON inbox (kind, key, seq) WHERE key IS NOT NULL;

CREATE TABLE quarantine (
    seq INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    form INTEGER NOT NULL,
    frame BLOB NOT NULL
) STRICT;

-- Streams by number, and where their window of remembered ids begins (or before).
CREATE TABLE streams (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    window_from INTEGER NOT NULL
) STRICT;

-- Ids whose rows left the inbox while they are still in their stream's window.
CREATE TABLE seen (
    seq INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    id TEXT NOT NULL
) STRICT;

CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    last_seen INTEGER
) STRICT, WITHOUT ROWID;

-- What is known of a server (its URL without query, and the dialect).
CREATE TABLE servers (
    server TEXT PRIMARY KEY,
    connected_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE resume (
    server TEXT NOT NULL,
    stream TEXT NOT NULL,
    cursor TEXT NOT NULL,
    PRIMARY KEY (server, stream)
) STRICT, WITHOUT ROWID;

CREATE TABLE kept (
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (server, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE remembered (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The link's history, a ring.
CREATE TABLE transitions (
    number INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
