UPDATE source SET tree = sha256('tree'), tree_blob = 'manifest', fetched_at = now();
UPDATE app SET handled_reconcile_at = 'now';
INSERT INTO build (key, manifest) VALUES ('build', 'manifest');
INSERT INTO build_claim (key, claimed_by, claimed_until) VALUES ('build', gen_random_uuid(), now());
