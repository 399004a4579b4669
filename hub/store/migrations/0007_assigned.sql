-- A fingerprint of the Assignments that the state allotted last is of, so that mostly none has to be read to know that
-- nothing changed. Null: not known.
ALTER TABLE cluster ADD COLUMN assigned bigint;
-- Not used since 0003.
ALTER TABLE app DROP COLUMN retry_at;
