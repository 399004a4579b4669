ALTER TABLE upstream
    ADD COLUMN remote       bytea,                     -- whom the conversation is with: one list and one mirror for all of them
    ADD COLUMN looked_by    uuid,                      -- the replica that looked last, whose mirror is warm
    ADD COLUMN found_inputs bytea,                     -- what the last good look found of inputs that is not in the revision
    ADD COLUMN seen_inputs  bytea,                     -- what the inputs were at when the last look began, good or not
    ADD COLUMN detail       jsonb,                     -- what status says of the artifact beside revision and tree
    ADD COLUMN failure      text NOT NULL DEFAULT '';  -- the kind of what went wrong
ALTER TABLE source
    ADD COLUMN detail       jsonb,
    ADD COLUMN failure      text NOT NULL DEFAULT '',
    ADD COLUMN waiting      boolean NOT NULL DEFAULT false, -- the reason is only that something is not there yet
    ADD COLUMN stale_since  timestamptz;               -- what was fetched may not be what upstream has
UPDATE source s SET stale_since = coalesce(s.ready_since, u.ready_since, now()) FROM upstream u
    WHERE u.id = s.upstream AND s.tree IS NOT NULL AND (s.reason <> '' OR u.reason <> '');
CREATE INDEX upstream_remote ON upstream (remote);

-- What clients see of an upstream now.
DROP TRIGGER upstream_written ON upstream;
CREATE TRIGGER upstream_written BEFORE UPDATE ON upstream FOR EACH ROW
    WHEN ((OLD.revision, OLD.tree, OLD.fetched_at, OLD.reason, OLD.message, OLD.terminal, OLD.failure, OLD.detail) IS DISTINCT FROM
        (NEW.revision, NEW.tree, NEW.fetched_at, NEW.reason, NEW.message, NEW.terminal, NEW.failure, NEW.detail))
    EXECUTE FUNCTION stamp_upstream();
