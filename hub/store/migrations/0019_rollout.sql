-- Rollouts of Apps. Those that are over stay a while, for history and for what may be rolled back to.
CREATE TABLE rollout (
    id              text        PRIMARY KEY,
    app             text        NOT NULL,
    kind            text        NOT NULL,
    target          bytea       NOT NULL REFERENCES release,
    phase           text        NOT NULL,
    reason          text        NOT NULL DEFAULT '',
    message         text        NOT NULL DEFAULT '',
    policy          jsonb       NOT NULL,             -- as it was when the Rollout began
    plan            bytea,                            -- names target, policy and members together; null: it has not begun
    actor           text        NOT NULL,
    request_id      text        NOT NULL DEFAULT '',
    wave            int         NOT NULL DEFAULT 0,
    waves           jsonb       NOT NULL DEFAULT '[]', -- with their gates
    max_unavailable int         NOT NULL DEFAULT 0,
    scope           text        NOT NULL DEFAULT '',
    caused_by       text        NOT NULL DEFAULT '',
    superseded_by   text        NOT NULL DEFAULT '',
    no_rollback     boolean     NOT NULL DEFAULT false,
    allow_bad       boolean     NOT NULL DEFAULT false,
    version         bigint      NOT NULL,
    last_event      bigint      NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    started_at      timestamptz,
    finished_at     timestamptz,
    written         xid8        NOT NULL
);
CREATE UNIQUE INDEX rollout_active ON rollout (app) WHERE phase IN ('Running', 'Paused', 'Halted', 'RollingBack');
CREATE UNIQUE INDEX rollout_queued ON rollout (app) WHERE phase = 'Queued';
CREATE UNIQUE INDEX rollout_request ON rollout (app, request_id) WHERE request_id <> '';
CREATE INDEX rollout_app ON rollout (app, created_at DESC, id DESC);
CREATE INDEX rollout_created ON rollout (created_at DESC, id DESC);
CREATE INDEX rollout_phase ON rollout (phase);
CREATE INDEX rollout_target ON rollout (target);
CREATE INDEX rollout_written ON rollout (written);
CREATE TRIGGER rollout_written BEFORE INSERT OR UPDATE ON rollout FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- Clusters of a Rollout. The cluster may be gone since.
CREATE TABLE rollout_member (
    rollout           text        NOT NULL REFERENCES rollout ON DELETE CASCADE,
    cluster           uuid        NOT NULL,
    name              text        NOT NULL,
    wave              int         NOT NULL,
    turn              int         NOT NULL,
    phase             text        NOT NULL,
    failure           text        NOT NULL DEFAULT '',
    message           text        NOT NULL DEFAULT '',
    base              bytea       REFERENCES release, -- null: the App was not there
    base_available    boolean     NOT NULL DEFAULT false,
    moved             boolean     NOT NULL DEFAULT false,
    inherited         boolean     NOT NULL DEFAULT false,
    generation        bigint      NOT NULL DEFAULT 0,
    attempt           int         NOT NULL DEFAULT 0,
    deadline_spent    bigint      NOT NULL DEFAULT 0, -- microseconds
    deadline_since    timestamptz,
    since             timestamptz,
    healthy_since     timestamptz,
    unhealthy_since   timestamptz,
    unavailable_since timestamptz,
    lost_since        timestamptz,
    PRIMARY KEY (rollout, cluster)
);
CREATE UNIQUE INDEX rollout_member_turn ON rollout_member (rollout, wave, turn);
CREATE INDEX rollout_member_base ON rollout_member (base);

-- What happened, numbered for each Rollout. Rows are never changed.
CREATE TABLE rollout_event (
    rollout text        NOT NULL REFERENCES rollout ON DELETE CASCADE,
    number  bigint      NOT NULL,
    at      timestamptz NOT NULL,
    type    text        NOT NULL,
    actor   text        NOT NULL DEFAULT '',
    cluster text        NOT NULL DEFAULT '',
    wave    text        NOT NULL DEFAULT '',
    gate    text        NOT NULL DEFAULT '',
    reason  text        NOT NULL DEFAULT '',
    message text        NOT NULL DEFAULT '',
    PRIMARY KEY (rollout, number)
);

-- What is known of an App's Releases, once a RolloutPolicy is for it, and when it is to be looked at again.
CREATE TABLE rollout_track (
    app      text        PRIMARY KEY,
    track    jsonb       NOT NULL,
    releases bytea[]     NOT NULL, -- those of it that clusters may come to have again
    stepped  timestamptz NOT NULL, -- time of the last step: it never goes back
    due      timestamptz
);
CREATE INDEX rollout_track_due ON rollout_track (due) WHERE due IS NOT NULL;

-- When a hub looked last: one row. And the times in which none did, so that clocks of Rollouts do not count them.
CREATE TABLE looked (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    at       timestamptz NOT NULL
);
CREATE TABLE outage (
    since timestamptz NOT NULL,
    until timestamptz NOT NULL
);

-- Why nothing goes forward in the fleet, or in one cluster beside what its declaration says. A row stays, not frozen, when
-- that is over, so that who looks for changes finds it.
CREATE TABLE frozen (
    cluster uuid        REFERENCES cluster ON DELETE CASCADE, -- null: the fleet
    frozen  boolean     NOT NULL,
    reason  text        NOT NULL,
    actor   text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    written xid8        NOT NULL
);
CREATE UNIQUE INDEX frozen_once ON frozen (cluster) NULLS NOT DISTINCT;
CREATE TRIGGER frozen_written BEFORE INSERT OR UPDATE ON frozen FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- What the clusters run of an App that a RolloutPolicy is for, its steps decide: nobody else gives them a Release, neither a
-- hub of an earlier version, which would give it to all at once.
CREATE FUNCTION guard_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('flotilla.step', true) IS DISTINCT FROM NEW.app AND EXISTS (SELECT FROM rollout_track t WHERE t.app = NEW.app) THEN
        RAISE EXCEPTION 'the Assignments of % are written by its Rollouts alone', NEW.app;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER assignment_guard_insert BEFORE INSERT ON assignment FOR EACH ROW EXECUTE FUNCTION guard_assignment();
CREATE TRIGGER assignment_guard_update BEFORE UPDATE ON assignment FOR EACH ROW
    WHEN ((OLD.release, OLD.state) IS DISTINCT FROM (NEW.release, NEW.state)) EXECUTE FUNCTION guard_assignment();
