-- The key by which every other table names an App (fleet.Key).
ALTER TABLE object ADD COLUMN key text GENERATED ALWAYS AS (home || '/' || kind || '/' || namespace || '/' || name) STORED;
CREATE UNIQUE INDEX object_key ON object (key);
