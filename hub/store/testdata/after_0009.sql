UPDATE report SET ready = '{"status": "False", "reason": "BuildFailed"}', release = 'release', applied = 'release';
INSERT INTO question (id, cluster, ask, app, asked, deadline) SELECT gen_random_uuid(), id, 'diff', 'hub/Kustomization/apps/app', 'asked', now() FROM cluster;
DO $$
BEGIN
    ASSERT (SELECT first_at = at FROM app_revision), 'a Revision without the time of its first';
    ASSERT (SELECT count(*) = 1 AND bool_and(revision = 'main@sha1:1' AND ready ->> 'reason' = 'BuildFailed') FROM instance_history), 'a report that left no history';
END $$;
