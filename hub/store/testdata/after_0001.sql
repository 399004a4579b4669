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
