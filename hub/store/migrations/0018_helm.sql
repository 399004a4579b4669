-- The App that the hub made a Source for, by key: it changes with that, and goes with it. NULL: a person declared it.
ALTER TABLE object ADD COLUMN owner text;
CREATE INDEX object_owner ON object (owner) WHERE owner IS NOT NULL;

-- What a spoke tells of a HelmRelease beside the Report: fleet.HelmStatus as JSON, without a value of a Secret.
ALTER TABLE report
    ADD COLUMN detail        jsonb,
    ADD COLUMN drifted_since timestamptz;           -- or not drifted; null: nothing is told of that
CREATE FUNCTION since_drifted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR OLD.detail #>> '{drifted,status}' IS DISTINCT FROM NEW.detail #>> '{drifted,status}' THEN
        NEW.drifted_since := CASE WHEN NEW.detail #>> '{drifted,status}' IS NOT NULL THEN now() END;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER report_drifted BEFORE INSERT OR UPDATE ON report FOR EACH ROW EXECUTE FUNCTION since_drifted();

-- A request to reconcile a HelmRelease in one cluster may be one to act whatever the state, and to forget failures.
ALTER TABLE instance_request
    ADD COLUMN force boolean NOT NULL DEFAULT false,
    ADD COLUMN reset boolean NOT NULL DEFAULT false;
