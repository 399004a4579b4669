-- What the last builds of an App looked at, one of each recipe, which is all else that its Manifest follows from.
CREATE TABLE build_inputs (
    app    text        NOT NULL,
    recipe bytea       NOT NULL,
    inputs bytea       NOT NULL,                    -- paths in the Source's Tree, compressed
    at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app, recipe)
);
CREATE INDEX build_inputs_recipe ON build_inputs (recipe, at);

-- The transaction that last changed more of the App than its Revisions: a rollout has nothing to do for an App that comes
-- to another one with the Release that it has.
ALTER TABLE app ADD COLUMN turned xid8 NOT NULL DEFAULT '0';
CREATE INDEX app_turned ON app (turned);

CREATE OR REPLACE FUNCTION since_app() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.reason <> '' OR TG_OP = 'UPDATE' AND (OLD.reason = '') <> (NEW.reason = '') THEN
        NEW.reason_since := now();
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.release IS DISTINCT FROM NEW.release THEN
        NEW.release_since := now();
    END IF;
    IF TG_OP = 'INSERT' OR (OLD.release, OLD.observed_generation, OLD.reason) IS DISTINCT FROM (NEW.release, NEW.observed_generation, NEW.reason) THEN
        NEW.turned := pg_current_xact_id();
    END IF;
    -- What does not build, or may not have its Source, does not until that changes; a Source that is not there may come.
    NEW.terminal_since := CASE WHEN NEW.reason IN ('BuildFailed', 'AccessDenied') THEN coalesce(NEW.terminal_since, now()) END;
    RETURN NEW;
END $$;
