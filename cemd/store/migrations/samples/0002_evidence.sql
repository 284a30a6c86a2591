-- How attempts failed. A row is what was told of one probe at a time; blob: its attempts, MessagePack in zstd.
CREATE TABLE evidence (
    row INTEGER PRIMARY KEY,
    probe TEXT NOT NULL,
    until REAL NOT NULL, -- when the newest of them began
    blob BLOB NOT NULL
) STRICT;
CREATE INDEX evidence_of_probe ON evidence (probe, until);
