-- The one order, snapshots of analyze, history.

CREATE TABLE mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;

CREATE TABLE log (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    packing INTEGER NOT NULL, -- 0 as it came, 1 zstd
    blob BLOB NOT NULL
) STRICT;

-- One row: the snapshot that holds. Its blocks are cut into parts that are written before it, in short transactions.
CREATE TABLE snapshot (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, at REAL NOT NULL) STRICT;
CREATE TABLE snapshot_block (
    name TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    length INTEGER NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE TABLE snapshot_part (
    row INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    name TEXT NOT NULL,
    part INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (generation, name, part)
) STRICT;

-- key: series id (38 bits), hour since 1970 (20 bits), part (5 bits; 31 is a compacted chunk of six hours).
CREATE TABLE chunk (key INTEGER PRIMARY KEY, blob BLOB NOT NULL) STRICT;
CREATE TABLE sealed (series INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
-- key: series id, first hour of a day, part 0: 24 hourly means, least, most, counts.
CREATE TABLE rollup (key INTEGER PRIMARY KEY, blob BLOB NOT NULL) STRICT;
