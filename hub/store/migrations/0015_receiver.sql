-- Where a Receiver takes calls: a MAC of its path, which is as secret as the token that it is made of. Two Receivers may have
-- one path.
CREATE TABLE receiver (
    namespace            text        NOT NULL,
    name                 text        NOT NULL,
    path                 bytea,                                    -- null: there is no token to make it of
    observed_generation  bigint      NOT NULL,
    handled_reconcile_at text        NOT NULL DEFAULT '',
    reason               text        NOT NULL DEFAULT '',          -- of there being no path
    message              text        NOT NULL DEFAULT '',
    ready_since          timestamptz NOT NULL DEFAULT now(),       -- or not ready
    written              xid8        NOT NULL,
    PRIMARY KEY (namespace, name)
);
CREATE INDEX receiver_path ON receiver (path);
CREATE TRIGGER receiver_written BEFORE INSERT OR UPDATE ON receiver FOR EACH ROW EXECUTE FUNCTION stamp_written();
CREATE FUNCTION since_receiver() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.reason = '') <> (NEW.reason = '') THEN
        NEW.ready_since := now();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER receiver_since BEFORE UPDATE ON receiver FOR EACH ROW EXECUTE FUNCTION since_receiver();

-- When a webhook last said that an upstream has news, and when the replica took the upstream whose look is or was the last. A
-- look that began before it was told does not do: when it ends, the next one is due. A trigger sees to it, so that no writer
-- can forget it; a claim that is renewed is the one that it was.
ALTER TABLE upstream
    ADD COLUMN asked_at   timestamptz,
    ADD COLUMN claimed_at timestamptz;
CREATE FUNCTION ask_upstream() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.claimed_by IS NOT NULL THEN
        NEW.claimed_at := now();
    ELSIF NEW.asked_at >= OLD.claimed_at THEN
        NEW.due_at := least(NEW.due_at, now());
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER upstream_asked BEFORE UPDATE ON upstream FOR EACH ROW
    WHEN (OLD.claimed_by IS DISTINCT FROM NEW.claimed_by) EXECUTE FUNCTION ask_upstream();
