-- What the migration made of the data it found.
DO $$
BEGIN
    ASSERT (SELECT annotations FROM object WHERE kind = 'Secret') = '{"team": "web"}', 'kubectl''s copy of a Secret is there';
    ASSERT (SELECT ready_since = o.created_at FROM placement p JOIN object o USING (namespace, name) WHERE o.kind = 'Placement'), 'a Placement without its time';
    ASSERT (SELECT '2026-01-02' IN (ready_since) AND held_since = ready_since AND terminal_since = ready_since FROM report), 'a report without its times';
END $$;
UPDATE cluster SET connected = true, safe_mode = 'behind', last_seen = now();
UPDATE cluster SET last_seen = now(), sequence = 1;
UPDATE upstream SET tree = 'tree', fetched_at = now(), checked_at = now();
UPDATE app SET reason = 'BuildFailed', message = 'no such path';
UPDATE assignment SET pin = 2, generation = 2;
UPDATE report SET generation = 2, held_prune = NULL, terminal = false, ready = '{"status": "True"}';
INSERT INTO gone_instance (cluster, app) VALUES ('prod-2', 'hub/Kustomization/apps/app');
DO $$
BEGIN
    ASSERT (SELECT held_since IS NULL AND terminal_since IS NULL AND ready_since > '2026-01-02' FROM report), 'a report with times of what is over';
    ASSERT (SELECT terminal_since IS NOT NULL FROM app), 'a build that nobody tries again is not terminal';
END $$;
