-- Personal keys. Everything that names a person is here and nowhere else; an erased person keeps a number and a digest.

CREATE TABLE vault (one INTEGER PRIMARY KEY CHECK (one = 1), proof BLOB NOT NULL) STRICT;

CREATE TABLE person (
    number INTEGER PRIMARY KEY,
    reference_digest BLOB NOT NULL UNIQUE,
    reference TEXT, -- NULL once erased
    wrapped_key BLOB, -- NULL until there is an address, and once erased
    erased INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE address (
    number INTEGER NOT NULL REFERENCES person,
    kind INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (number, kind)
) STRICT, WITHOUT ROWID;
