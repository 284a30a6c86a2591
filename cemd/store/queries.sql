-- Hot statements of the store, each under its name; see queries.py.

-- name: log_append
INSERT INTO log (first, last, packing, blob) VALUES (?, ?, ?, ?)
-- name: log_newest
SELECT max(last) FROM log
-- name: log_start
SELECT coalesce(max(first), ?1) FROM log WHERE first <= ?1
-- name: log_page
SELECT first, last, packing, blob FROM log WHERE first >= ? AND last > ? ORDER BY first LIMIT 64
-- name: log_trim
DELETE FROM log WHERE first IN (SELECT first FROM log WHERE first <= ?1 AND last <= ?1 ORDER BY first LIMIT ?2)
-- name: mark_put
INSERT INTO mark (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
-- name: mark_raise
INSERT INTO mark (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)
-- name: mark_get
SELECT value FROM mark WHERE name = ?

-- name: snapshot_part_put
INSERT INTO snapshot_part (generation, name, part, bytes) VALUES (?, ?, ?, ?)
-- name: snapshot_block_put
INSERT INTO snapshot_block (name, generation, length, crc) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, length = excluded.length, crc = excluded.crc
-- name: snapshot_put
INSERT INTO snapshot (one, seq, at) VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, at = excluded.at
-- name: snapshot_orphans
SELECT row FROM snapshot_part AS p
WHERE NOT EXISTS (SELECT 1 FROM snapshot_block AS b WHERE b.name = p.name AND b.generation = p.generation) LIMIT 4
-- name: snapshot_part_drop
DELETE FROM snapshot_part WHERE row = ?
-- name: snapshot_generation
SELECT coalesce(max(generation), 0) FROM snapshot_part
-- name: snapshot_get
SELECT seq FROM snapshot
-- name: snapshot_blocks
SELECT name, generation, length, crc FROM snapshot_block ORDER BY name
-- name: snapshot_parts
SELECT bytes FROM snapshot_part WHERE generation = ? AND name = ? ORDER BY part

-- name: communication_number
SELECT number FROM outbox_communication WHERE name = ?
-- name: communication_put
INSERT INTO outbox_communication (name) VALUES (?)
-- name: group_put
INSERT INTO outbox_group
    (communication, phase, revision, channel, class, at, expires_at, seq, trace, text_values)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
-- name: notice_put
INSERT INTO outbox (batch, communication, customer, phase, revision, digest, state, changed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
-- name: notice_move
UPDATE outbox SET state = ?, changed_at = ?
WHERE communication = ? AND customer = ? AND phase = ? AND revision = ? AND state IN (?, ?, ?)
-- name: notice_again
UPDATE outbox SET batch = ?, state = 1, changed_at = ?
WHERE communication = ? AND customer = ? AND phase = ? AND revision = ? AND state = 0
-- name: notice_orphan
UPDATE outbox SET state = 7, changed_at = ?
WHERE communication = (SELECT number FROM outbox_communication WHERE name = ?) AND state = 1
-- name: notices_of_communication
SELECT o.customer, o.digest, o.phase, o.revision, o.state, g.at, o.changed_at, g.seq, g.channel
FROM outbox AS o JOIN outbox_group AS g ON g.number = o.batch
WHERE o.communication = (SELECT number FROM outbox_communication WHERE name = ?) ORDER BY o.row
-- name: notices_of_customer
SELECT c.name, o.phase, o.revision, o.state, g.channel, g.at
FROM outbox AS o JOIN outbox_group AS g ON g.number = o.batch JOIN outbox_communication AS c ON c.number = o.communication
WHERE o.customer = ? AND g.at >= ? ORDER BY g.at, c.name, o.row
-- name: communications_in_flight
SELECT name FROM outbox_communication AS c
WHERE EXISTS (SELECT 1 FROM outbox AS o WHERE o.communication = c.number AND o.state = 1) ORDER BY name

-- name: epoch_document_put
INSERT INTO epoch_document (hash, document) VALUES (?, ?) ON CONFLICT (hash) DO NOTHING
-- name: epoch_put
INSERT INTO epoch (hash, author, at) VALUES (?, ?, ?)
-- name: epochs
SELECT hash, author, at FROM epoch ORDER BY line
-- name: epoch_document
SELECT document FROM epoch_document WHERE substr(hash, 1, length(?1)) = ?1 LIMIT 2
-- name: quarantine_put
INSERT INTO quarantine (seq, at, reason, blob) VALUES (?, ?, ?, ?)
ON CONFLICT (seq) DO UPDATE SET at = excluded.at, reason = excluded.reason, blob = excluded.blob
-- name: quarantined
SELECT seq FROM quarantine

-- name: series_put
INSERT INTO series (serial, id, source, key) VALUES (?, ?, ?, ?)
-- name: series_all
SELECT id, source, key FROM series ORDER BY serial
-- name: series_by_serial
SELECT key FROM series WHERE serial = ?
-- name: series_next
SELECT coalesce(max(serial) + 1, 0) FROM series

-- name: chunk_put
INSERT INTO chunk (key, blob) VALUES (?, ?)
-- name: chunk_replace
INSERT INTO chunk (key, blob) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET blob = excluded.blob
-- name: chunk_drop
DELETE FROM chunk WHERE key = ?
-- name: chunk_newest
SELECT max(key) FROM chunk WHERE key BETWEEN ? AND ?
-- name: chunk_next
SELECT min(key) FROM chunk WHERE key >= ?
-- name: chunks
SELECT key, blob FROM chunk WHERE key BETWEEN ? AND ? ORDER BY key
-- name: chunk_drop_range
DELETE FROM chunk WHERE key BETWEEN ? AND ?
-- name: sealed_put
INSERT INTO sealed (series, seq) VALUES (?, ?) ON CONFLICT (series) DO UPDATE SET seq = excluded.seq
-- name: sealed_all
SELECT series, seq FROM sealed
-- name: rollup_put
INSERT INTO rollup (key, blob) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET blob = excluded.blob
-- name: rollup_get
SELECT blob FROM rollup WHERE key = ?
-- name: rollups
SELECT key, blob FROM rollup WHERE key BETWEEN ? AND ? ORDER BY key
-- name: rollup_next
SELECT min(key) FROM rollup WHERE key >= ?
-- name: rollup_drop_range
DELETE FROM rollup WHERE key BETWEEN ? AND ?

-- name: evidence_put
INSERT INTO evidence (probe, until, blob) VALUES (?, ?, ?)
-- name: evidence_of
SELECT blob FROM evidence WHERE probe = ? AND until < ? ORDER BY until DESC LIMIT ?
-- name: evidence_bytes
SELECT coalesce(sum(length(blob) + length(probe) + 40), 0) FROM evidence
-- name: evidence_oldest
SELECT row, until, length(blob) + length(probe) + 40 FROM evidence ORDER BY row LIMIT ?
-- name: evidence_drop
DELETE FROM evidence WHERE row <= ?

-- name: person_by_digest
SELECT number FROM person WHERE reference_digest = ?
-- name: person_next
SELECT coalesce(max(number) + 1, 0) FROM person
-- name: person_put
INSERT INTO person (number, reference_digest, reference) VALUES (?, ?, ?)
-- name: person_get
SELECT wrapped_key, erased FROM person WHERE number = ?
-- name: person_key_put
UPDATE person SET wrapped_key = ? WHERE number = ? AND erased = 0
-- name: person_erase
UPDATE person SET erased = 1, reference = NULL, wrapped_key = NULL WHERE number = ?
-- name: person_digest
SELECT reference_digest FROM person WHERE number = ?
-- name: address_digest
SELECT digest FROM address WHERE number = ? AND kind = ?
-- name: address_put
INSERT INTO address (number, kind, digest, sealed) VALUES (?, ?, ?, ?)
ON CONFLICT (number, kind) DO UPDATE SET digest = excluded.digest, sealed = excluded.sealed
-- name: address_drop
DELETE FROM address WHERE number = ? AND kind = ?
-- name: address_erase
DELETE FROM address WHERE number = ?
-- name: address_get
SELECT p.wrapped_key, a.sealed FROM address AS a JOIN person AS p USING (number) WHERE a.number = ? AND a.kind = ?
