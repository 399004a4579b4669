UPDATE cluster SET connected = true, safe_mode = 'behind', last_seen = now();
UPDATE cluster SET last_seen = now(), sequence = 1;
UPDATE upstream SET tree = 'tree', fetched_at = now(), checked_at = now();
UPDATE app SET reason = 'BuildFailed', message = 'no such path';
UPDATE assignment SET pin = 2, generation = 2;
INSERT INTO report (cluster, app, epoch, generation, release, stage, converged, available, terminal, waiting, ready, healthy, objects,
        objects_not_ready, not_ready, handled_reconcile_at, observed_at, drift_corrections)
    SELECT id, 'hub/Kustomization/apps/app', 1, 2, 'release', 'Failed', false, false, true, 'None', '{"status": "False"}', '{"status": "Unknown"}',
        1, 1, '[]', '', now(), 0 FROM cluster;
INSERT INTO gone_instance (cluster, app) VALUES ('prod-2', 'hub/Kustomization/apps/app');
