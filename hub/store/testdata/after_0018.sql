UPDATE report SET detail = '{"drifted": {"status": "False"}}';
INSERT INTO object (home, kind, namespace, name, labels, annotations, spec, owner)
    VALUES ('hub', 'HelmChart', 'apps', 'apps-web', '{}', '{}', '{"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"}, "interval": "1m"}', 'hub/HelmRelease/apps/web');
INSERT INTO instance_request (cluster, app, requested_at, force, reset) SELECT id, 'hub/HelmRelease/apps/web', 'now', true, true FROM cluster;
DO $$
BEGIN
    ASSERT (SELECT count(*) > 0 AND bool_and(drifted_since IS NOT NULL) FROM report), 'a report of drift without its time';
    ASSERT (SELECT count(*) > 0 AND bool_and(force AND reset) FROM instance_request), 'no request in one cluster';
END $$;
