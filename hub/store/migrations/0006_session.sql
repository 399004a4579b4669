-- When the newest certificate of the cluster that the database knows of was issued. One that was issued later is of a
-- time that the database has lost.
ALTER TABLE cluster ADD COLUMN certified_at timestamptz;
