INSERT INTO receiver (namespace, name, path, observed_generation) VALUES ('apps', 'app', sha256('path'), 1);
UPDATE receiver SET ready_since = '2026-01-02', reason = 'TokenNotFound' WHERE name = 'app';
DO $$
BEGIN
    ASSERT (SELECT ready_since > '2026-01-02' FROM receiver), 'a Receiver without the time since when it is not ready';
END $$;
