-- What improve and report remember stands in one table per kind of row, made with its first row (see rows.py).

CREATE TABLE mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;

CREATE TABLE series (
    serial INTEGER PRIMARY KEY,
    id INTEGER NOT NULL UNIQUE,
    source TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE, -- SeriesKey as JSON
    probe TEXT GENERATED ALWAYS AS (json_extract(key, '$.probe')) VIRTUAL,
    metric TEXT GENERATED ALWAYS AS (json_extract(key, '$.metric')) VIRTUAL
) STRICT;

CREATE TABLE epoch_document (hash TEXT PRIMARY KEY, document BLOB NOT NULL) STRICT;
CREATE TABLE epoch (
    line INTEGER PRIMARY KEY AUTOINCREMENT,
    hash TEXT NOT NULL REFERENCES epoch_document,
    author TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;

CREATE TABLE quarantine (seq INTEGER PRIMARY KEY, at REAL NOT NULL, reason TEXT NOT NULL, blob BLOB NOT NULL) STRICT;

CREATE TABLE outbox_communication (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE) STRICT;

-- What the rows of one insertion have in common.
CREATE TABLE outbox_group (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    communication INTEGER NOT NULL REFERENCES outbox_communication,
    phase INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    channel TEXT NOT NULL,
    class TEXT NOT NULL,
    at REAL NOT NULL,
    expires_at REAL NOT NULL,
    seq INTEGER NOT NULL,
    trace TEXT NOT NULL,
    text_values TEXT NOT NULL -- JSON
) STRICT;

CREATE TABLE outbox (
    row INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL REFERENCES outbox_group,
    communication INTEGER NOT NULL,
    customer INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    state INTEGER NOT NULL,
    changed_at REAL NOT NULL
) STRICT;
CREATE UNIQUE INDEX outbox_once ON outbox (communication, customer, phase, revision);
CREATE UNIQUE INDEX outbox_once_per_address ON outbox (communication, phase, revision, digest) WHERE digest <> 0;
CREATE INDEX outbox_by_customer ON outbox (customer);
CREATE INDEX outbox_in_flight ON outbox (communication) WHERE state = 1;

-- For people and reports: words instead of numbers.
CREATE VIEW notice AS
SELECT
    c.name AS communication,
    o.customer,
    CASE o.phase WHEN 0 THEN 'first' WHEN 1 THEN 'update' WHEN 2 THEN 'workaround' WHEN 3 THEN 'over' ELSE 'correction' END
        AS phase,
    o.revision,
    CASE o.state
        WHEN 0 THEN 'due' WHEN 1 THEN 'in_flight' WHEN 2 THEN 'accepted' WHEN 3 THEN 'delivered' WHEN 4 THEN 'failed'
        WHEN 5 THEN 'expired' WHEN 6 THEN 'cancelled' WHEN 7 THEN 'unknown' ELSE 'shadow' END AS state,
    g.channel,
    datetime(g.at, 'unixepoch') AS written_at,
    datetime(o.changed_at, 'unixepoch') AS changed_at,
    g.trace
FROM outbox AS o
JOIN outbox_group AS g ON g.number = o.batch
JOIN outbox_communication AS c ON c.number = o.communication;
