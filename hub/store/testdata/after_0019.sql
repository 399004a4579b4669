INSERT INTO rollout (id, app, kind, target, phase, policy, plan, actor, version, last_event, created_at, started_at)
    VALUES ('ro-1', 'hub/Kustomization/apps/app', 'Forward', 'release', 'Running', '{"waves": [{"name": "all"}]}', 'plan', 'system', 1, 1, now(), now());
INSERT INTO rollout (id, app, kind, target, phase, policy, plan, actor, version, created_at)
    VALUES ('ro-2', 'hub/Kustomization/apps/app', 'Forward', 'release', 'Queued', '{"waves": [{"name": "all"}]}', 'plan', 'system', 1, now());
INSERT INTO rollout_member (rollout, cluster, name, wave, turn, phase, base) SELECT 'ro-1', id, name, 0, 0, 'Pending', 'release' FROM cluster;
INSERT INTO rollout_event (rollout, number, at, type) VALUES ('ro-1', 1, now(), 'Started');
INSERT INTO rollout_track (app, track, releases, stepped, due) VALUES ('hub/Kustomization/apps/app', '{}', '{release}', now(), now());
INSERT INTO frozen (cluster, frozen, reason, actor) VALUES (NULL, true, 'holidays', 'user:admin');
INSERT INTO frozen (cluster, frozen, reason, actor) SELECT id, false, '', 'user:admin' FROM cluster;
