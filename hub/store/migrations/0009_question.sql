-- What a question asks, sealed: it may hold a person's manifests. Null in rows of before, which ask for a held prune.
ALTER TABLE question ADD COLUMN asked bytea;

-- When a Revision first resolved to what it is now.
ALTER TABLE app_revision ADD COLUMN first_at timestamptz NOT NULL DEFAULT now();
UPDATE app_revision SET first_at = at;

-- What became of each Release in a cluster: one row a Release, of the last word on it.
CREATE TABLE instance_history (
    cluster  uuid        NOT NULL REFERENCES cluster ON DELETE CASCADE,
    app      text        NOT NULL,
    release  bytea       NOT NULL,
    revision text        NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at  timestamptz NOT NULL DEFAULT now(),
    ready    jsonb       NOT NULL,
    PRIMARY KEY (cluster, app, release)
);

-- A report that says something new of its Release is history. The revision is the newest that the Release is at.
CREATE FUNCTION note_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO instance_history AS h (cluster, app, release, revision, ready)
        VALUES (NEW.cluster, NEW.app, NEW.release,
            coalesce((SELECT v.revision FROM app_revision v WHERE v.app = NEW.app AND v.release = NEW.release ORDER BY v.at DESC, v.revision LIMIT 1), ''),
            NEW.ready)
        ON CONFLICT (cluster, app, release) DO UPDATE SET
            revision = CASE WHEN excluded.revision = '' THEN h.revision ELSE excluded.revision END,
            last_at = now(), ready = excluded.ready;
    RETURN NULL;
END $$;
CREATE TRIGGER report_history_first AFTER INSERT ON report
    FOR EACH ROW WHEN (length(NEW.release) > 0) EXECUTE FUNCTION note_history();
CREATE TRIGGER report_history AFTER UPDATE ON report
    FOR EACH ROW WHEN (length(NEW.release) > 0 AND (NEW.release, NEW.applied, NEW.ready ->> 'status', NEW.ready ->> 'reason')
        IS DISTINCT FROM (OLD.release, OLD.applied, OLD.ready ->> 'status', OLD.ready ->> 'reason'))
    EXECUTE FUNCTION note_history();
