-- Since when a condition has the status it has, beside what the condition is about. Triggers keep these times, so that no
-- writer can forget one.
ALTER TABLE object
    ADD COLUMN unplaced_at timestamptz;                            -- an App: its Placement let go of it
-- What a Placement comes to. A row of its own, so that it is no change of what is declared.
CREATE TABLE placement (
    namespace     text        NOT NULL,
    name          text        NOT NULL,
    ready_since   timestamptz NOT NULL DEFAULT now(),
    matched_since timestamptz NOT NULL DEFAULT now(),              -- these clusters
    written       xid8        NOT NULL,
    PRIMARY KEY (namespace, name)
);
CREATE TRIGGER placement_written BEFORE INSERT OR UPDATE ON placement FOR EACH ROW EXECUTE FUNCTION stamp_written();
ALTER TABLE cluster
    ADD COLUMN connected_since timestamptz NOT NULL DEFAULT now(), -- or disconnected
    ADD COLUMN safe_mode_since timestamptz NOT NULL DEFAULT now(), -- or out of it
    ADD COLUMN linked          xid8        NOT NULL DEFAULT '0';   -- the transaction that connected or disconnected it
ALTER TABLE upstream
    ADD COLUMN ready_since timestamptz NOT NULL DEFAULT now();     -- or failed, or neither
ALTER TABLE source
    ADD COLUMN ready_since  timestamptz NOT NULL DEFAULT now(),    -- bound to this upstream, or not
    ADD COLUMN stored_since timestamptz;                           -- a Tree, whichever
ALTER TABLE app
    ADD COLUMN reason_since   timestamptz,                         -- some reason, or none any more
    ADD COLUMN release_since  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN terminal_since timestamptz;                         -- a reason that no retry can help
ALTER TABLE assignment
    ADD COLUMN pinned_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE report
    ADD COLUMN ready_since    timestamptz NOT NULL DEFAULT now(),  -- of the release
    ADD COLUMN healthy_since  timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN held_since     timestamptz,
    ADD COLUMN terminal_since timestamptz;

-- Of what is there already, the best that is known. kubectl's copy of an object may hold a Secret's content: it goes.
INSERT INTO placement (namespace, name, ready_since, matched_since)
    SELECT namespace, name, created_at, created_at FROM object WHERE kind = 'Placement' AND deleted_at IS NULL;
UPDATE object SET annotations = annotations - 'kubectl.kubernetes.io/last-applied-configuration'
    WHERE annotations ? 'kubectl.kubernetes.io/last-applied-configuration';
UPDATE upstream SET ready_since = fetched_at WHERE fetched_at IS NOT NULL;
UPDATE source SET stored_since = fetched_at;
UPDATE app SET reason_since = now(), terminal_since = CASE WHEN reason = 'BuildFailed' THEN now() END WHERE reason <> '';
UPDATE assignment SET pinned_at = created_at;
UPDATE report SET ready_since = stored_at, healthy_since = stored_at,
    held_since = CASE WHEN held_prune IS NOT NULL THEN stored_at END, terminal_since = CASE WHEN terminal THEN stored_at END;

-- A heartbeat changes nothing that clients watch.
DROP TRIGGER cluster_written ON cluster;
CREATE TRIGGER cluster_inserted BEFORE INSERT ON cluster FOR EACH ROW EXECUTE FUNCTION stamp_written();
CREATE FUNCTION stamp_cluster() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.written := pg_current_xact_id();
    IF OLD.connected <> NEW.connected THEN
        NEW.linked := NEW.written;
        NEW.connected_since := now();
    END IF;
    IF (OLD.safe_mode = '') <> (NEW.safe_mode = '') THEN
        NEW.safe_mode_since := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cluster_written BEFORE UPDATE ON cluster FOR EACH ROW
    WHEN ((OLD.enrolled_at, OLD.connected, OLD.epoch, OLD.version, OLD.digest, OLD.acked_epoch, OLD.acked_version, OLD.acked_digest,
            OLD.safe_mode, OLD.facts, OLD.unknown) IS DISTINCT FROM
        (NEW.enrolled_at, NEW.connected, NEW.epoch, NEW.version, NEW.digest, NEW.acked_epoch, NEW.acked_version, NEW.acked_digest,
            NEW.safe_mode, NEW.facts, NEW.unknown))
    EXECUTE FUNCTION stamp_cluster();

-- Nor does a look at an upstream that finds nothing new.
DROP TRIGGER upstream_written ON upstream;
CREATE TRIGGER upstream_inserted BEFORE INSERT ON upstream FOR EACH ROW EXECUTE FUNCTION stamp_written();
CREATE FUNCTION stamp_upstream() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.written := pg_current_xact_id();
    IF (OLD.reason = '') <> (NEW.reason = '') OR NEW.reason = '' AND OLD.tree IS NULL AND NEW.tree IS NOT NULL THEN
        NEW.ready_since := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER upstream_written BEFORE UPDATE ON upstream FOR EACH ROW
    WHEN ((OLD.revision, OLD.tree, OLD.fetched_at, OLD.reason, OLD.message) IS DISTINCT FROM
        (NEW.revision, NEW.tree, NEW.fetched_at, NEW.reason, NEW.message))
    EXECUTE FUNCTION stamp_upstream();

CREATE FUNCTION since_source() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.upstream IS DISTINCT FROM NEW.upstream OR (OLD.reason = '') <> (NEW.reason = '') THEN
        NEW.ready_since := now();
    END IF;
    IF OLD.tree IS NULL AND NEW.tree IS NOT NULL THEN
        NEW.stored_since := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER source_since BEFORE UPDATE ON source FOR EACH ROW EXECUTE FUNCTION since_source();

CREATE FUNCTION since_app() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.reason <> '' OR TG_OP = 'UPDATE' AND (OLD.reason = '') <> (NEW.reason = '') THEN
        NEW.reason_since := now();
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.release IS DISTINCT FROM NEW.release THEN
        NEW.release_since := now();
    END IF;
    -- What does not build does not until it changes; a Source that is not there may come.
    NEW.terminal_since := CASE WHEN NEW.reason = 'BuildFailed' THEN coalesce(NEW.terminal_since, now()) END;
    RETURN NEW;
END $$;
CREATE TRIGGER app_since BEFORE INSERT OR UPDATE ON app FOR EACH ROW EXECUTE FUNCTION since_app();

CREATE FUNCTION since_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.pinned_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER assignment_since BEFORE UPDATE ON assignment FOR EACH ROW
    WHEN (OLD.pin <> NEW.pin) EXECUTE FUNCTION since_assignment();

-- From the pin of another release on nothing is known, until there is a word on it.
CREATE FUNCTION since_report() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    another boolean := TG_OP = 'INSERT' OR OLD.release IS DISTINCT FROM NEW.release;
BEGIN
    IF TG_OP = 'INSERT' OR OLD.ready ->> 'status' <> NEW.ready ->> 'status' OR another AND NEW.ready ->> 'status' <> 'Unknown' THEN
        NEW.ready_since := now();
        IF another AND NEW.ready ->> 'status' = 'Unknown' THEN
            NEW.ready_since := coalesce((SELECT pinned_at FROM assignment a WHERE a.cluster = NEW.cluster AND a.app = NEW.app), now());
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.healthy ->> 'status' <> NEW.healthy ->> 'status' THEN
        NEW.healthy_since := now();
    END IF;
    NEW.held_since := CASE WHEN NEW.held_prune IS NOT NULL THEN coalesce(NEW.held_since, now()) END;
    NEW.terminal_since := CASE WHEN NEW.terminal THEN coalesce(NEW.terminal_since, now()) END;
    RETURN NEW;
END $$;
CREATE TRIGGER report_since BEFORE INSERT OR UPDATE ON report FOR EACH ROW EXECUTE FUNCTION since_report();

-- Apps that left a cluster: an hour for watchers, and the newest of each declared App and Cluster, so that no
-- resourceVersion falls.
CREATE TABLE gone_instance (
    cluster text        NOT NULL,                   -- name
    app     text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    written xid8        NOT NULL,
    PRIMARY KEY (cluster, app)
);
CREATE TRIGGER gone_instance_written BEFORE INSERT OR UPDATE ON gone_instance FOR EACH ROW EXECUTE FUNCTION stamp_written();
CREATE FUNCTION note_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gone_instance (cluster, app) SELECT c.name, OLD.app FROM cluster c WHERE c.id = OLD.cluster
        ON CONFLICT (cluster, app) DO UPDATE SET at = now();
    RETURN OLD;
END $$;
CREATE TRIGGER assignment_gone BEFORE DELETE ON assignment FOR EACH ROW EXECUTE FUNCTION note_gone();
CREATE FUNCTION note_all_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gone_instance (cluster, app) SELECT OLD.name, a.app FROM assignment a WHERE a.cluster = OLD.id ORDER BY a.app
        ON CONFLICT (cluster, app) DO UPDATE SET at = now();
    RETURN OLD;
END $$;
CREATE TRIGGER cluster_gone BEFORE DELETE ON cluster FOR EACH ROW EXECUTE FUNCTION note_all_gone();

-- Deletions up to this transaction's are forgotten: who watched before it must list again.
ALTER TABLE hub ADD COLUMN forgotten xid8 NOT NULL DEFAULT '0';
