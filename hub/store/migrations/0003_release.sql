-- What a Source was last at while it was active: its Apps are built from that, whatever its upstream is at, and it stays
-- when the Source comes to mean another upstream that could not be fetched yet.
ALTER TABLE source
    ADD COLUMN revision   text NOT NULL DEFAULT '',
    ADD COLUMN tree       bytea,
    ADD COLUMN tree_blob  bytea REFERENCES blob,
    ADD COLUMN fetched_at timestamptz;
UPDATE source s SET revision = u.revision, tree = u.tree, tree_blob = u.tree_blob, fetched_at = u.fetched_at
    FROM upstream u WHERE u.id = s.upstream;

-- The newest reconcile request that a build of the App has served. What used to be built again at a time is built again
-- now: retry_at is not used any more.
ALTER TABLE app ADD COLUMN handled_reconcile_at text NOT NULL DEFAULT '';
UPDATE app SET attempted = '' WHERE retry_at IS NOT NULL;

-- Builds under way, so that no other replica makes them too.
CREATE TABLE build_claim (
    key           bytea       PRIMARY KEY,
    claimed_by    uuid        NOT NULL,
    claimed_until timestamptz NOT NULL
);

-- Whatever names a blob or a Release is found when that one is to go.
CREATE INDEX assignment_release ON assignment (release);
CREATE INDEX assignment_pin_manifest ON assignment_pin (manifest);
CREATE INDEX release_manifest ON release (manifest);
CREATE INDEX build_manifest ON build (manifest);
CREATE INDEX upstream_tree_blob ON upstream (tree_blob);
CREATE INDEX source_tree_blob ON source (tree_blob);
