INSERT INTO hub (key_fingerprint) VALUES (sha256('key'));
INSERT INTO object (home, kind, namespace, name, labels, spec) VALUES
    ('hub', 'Kustomization', 'apps', 'app', '{"kept": "yes"}', '{"interval": "10m", "prune": true, "sourceRef": {"kind": "GitRepository", "name": "app"}}'),
    ('hub', 'Cluster', '', 'prod-1', '{"tier": "prod"}', '{}');
INSERT INTO cluster (id, name, enrolled_at) SELECT uid, name, now() FROM object WHERE kind = 'Cluster';
INSERT INTO blob (digest, size) VALUES ('manifest', 1), ('object', 1);
INSERT INTO blob_chunk (digest, number, data) VALUES ('manifest', 0, 'm'), ('object', 0, 'o');
INSERT INTO blob_part (whole, part) VALUES ('manifest', 'object');
INSERT INTO upstream (id, revision) VALUES ('upstream', 'main@sha1:1');
INSERT INTO source (kind, namespace, name, upstream) VALUES ('GitRepository', 'apps', 'app', 'upstream');
INSERT INTO release (digest, app, content, manifest) VALUES ('release', 'hub/Kustomization/apps/app', '{}', 'manifest');
INSERT INTO app (key, release, revision) VALUES ('hub/Kustomization/apps/app', 'release', 'main@sha1:1');
INSERT INTO app_revision (app, revision, release) VALUES ('hub/Kustomization/apps/app', 'main@sha1:1', 'release');
INSERT INTO assignment (cluster, app, state, generation, pin, release, placement, payload)
    SELECT id, 'hub/Kustomization/apps/app', 'Active', 1, 1, 'release', 'app', '{}' FROM cluster;
INSERT INTO assignment_pin (cluster, app, pin, manifest) SELECT id, 'hub/Kustomization/apps/app', 1, 'manifest' FROM cluster;
INSERT INTO event (at, warning, reason, message, kind, namespace, name, cluster, object) VALUES (now(), false, 'r', 'm', 'Kustomization', 'apps', 'app', '', '');
INSERT INTO object (home, kind, namespace, name, annotations, sealed) VALUES
    ('hub', 'Secret', 'apps', 'git', '{"kubectl.kubernetes.io/last-applied-configuration": "{\"stringData\": {\"password\": \"hunter2\"}}", "team": "web"}', 'sealed');
INSERT INTO object (home, kind, namespace, name, spec) VALUES
    ('hub', 'Placement', 'apps', 'app', '{"apps": [{"kind": "Kustomization", "name": "app"}], "clusters": {"selector": {}}}');
INSERT INTO report (cluster, app, epoch, generation, release, stage, converged, available, terminal, waiting, ready, healthy, objects,
        objects_not_ready, not_ready, held_prune, handled_reconcile_at, observed_at, drift_corrections, stored_at)
    SELECT id, 'hub/Kustomization/apps/app', 1, 1, 'release', 'Failed', false, false, true, 'PruneHeld', '{"status": "False"}', '{"status": "Unknown"}',
        1, 1, '[]', '{}', '', now(), 0, '2026-01-02' FROM cluster;
