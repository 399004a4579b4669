-- Every row that clients watch carries the transaction that wrote it: a watcher asks for rows written by transactions
-- that had not ended when it last looked.
CREATE FUNCTION stamp_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.written := pg_current_xact_id();
    RETURN NEW;
END $$;

-- One row: which hub this database belongs to.
CREATE TABLE hub (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id              uuid        NOT NULL DEFAULT gen_random_uuid(),
    key_fingerprint bytea       NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);

-- Declared objects. A deleted one stays for an hour, for watchers and for the tombstones that follow from it.
CREATE TABLE object (
    home        text        NOT NULL,
    kind        text        NOT NULL,
    namespace   text        NOT NULL,
    name        text        NOT NULL,
    uid         uuid        NOT NULL DEFAULT gen_random_uuid(),
    generation  bigint      NOT NULL DEFAULT 1,
    labels      jsonb       NOT NULL DEFAULT '{}',
    annotations jsonb       NOT NULL DEFAULT '{}',
    spec        jsonb       NOT NULL DEFAULT '{}',
    sealed      bytea,                              -- a Secret's type and data, sealed
    created_at  timestamptz NOT NULL DEFAULT now(),
    deleting_at timestamptz,                        -- a Cluster that waits for its spoke
    deleted_at  timestamptz,
    deletion    jsonb,                              -- an App's: the tombstones to write
    written     xid8        NOT NULL,
    PRIMARY KEY (home, kind, namespace, name)
);
CREATE INDEX object_written ON object (written);
CREATE TRIGGER object_written BEFORE INSERT OR UPDATE ON object FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- A registered cluster; id is the uid of its declared object.
CREATE TABLE cluster (
    id             uuid        PRIMARY KEY,
    name           text        NOT NULL UNIQUE,
    enrolled_at    timestamptz,
    kube_system_uid text       NOT NULL DEFAULT '',
    serial         bytea,                           -- of the certificate in use
    next_serial    bytea,                           -- of the newest issued one, until it is first used
    session        bigint      NOT NULL DEFAULT 0,
    sequence       bigint      NOT NULL DEFAULT 0,  -- of the newest report of the session
    connected      boolean     NOT NULL DEFAULT false,
    last_seen      timestamptz,
    epoch          bigint      NOT NULL DEFAULT 1,
    version        bigint      NOT NULL DEFAULT 0,
    digest         bytea       NOT NULL DEFAULT '',
    acked_epoch    bigint      NOT NULL DEFAULT 0,
    acked_version  bigint      NOT NULL DEFAULT 0,
    acked_digest   bytea       NOT NULL DEFAULT '',
    safe_mode      text        NOT NULL DEFAULT '', -- why; empty: it is not
    ahead_epoch    bigint      NOT NULL DEFAULT 0,  -- the epoch that a spoke in safe mode holds
    last_event     bigint      NOT NULL DEFAULT 0,  -- the newest number among the spoke's events
    facts          jsonb       NOT NULL DEFAULT '{}',
    unknown        jsonb       NOT NULL DEFAULT '[]',
    written        xid8        NOT NULL
);
CREATE TRIGGER cluster_written BEFORE INSERT OR UPDATE ON cluster FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- States issued to a cluster, from the last acknowledged one on.
CREATE TABLE issued_state (
    cluster uuid   NOT NULL REFERENCES cluster ON DELETE CASCADE,
    epoch   bigint NOT NULL,
    version bigint NOT NULL,
    digest  bytea  NOT NULL,
    PRIMARY KEY (cluster, epoch, version)
);

-- Identities that are refused; kept until their last certificate has run out.
CREATE TABLE revoked_cluster (
    id    uuid        PRIMARY KEY,
    until timestamptz NOT NULL
);

CREATE TABLE join_token (
    id          text        PRIMARY KEY,
    secret_hash bytea       NOT NULL,
    cluster     uuid        NOT NULL REFERENCES cluster ON DELETE CASCADE,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    key_hash    bytea,                              -- of the one public key that redeemed it
    tries       int         NOT NULL DEFAULT 0      -- wrong secrets; bounded
);

CREATE TABLE admin_token (
    secret_hash bytea       PRIMARY KEY,
    principal   text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- Content-addressed bytes, chunked so that no row is large.
CREATE TABLE blob (
    digest  bytea       PRIMARY KEY,
    size    bigint      NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE blob_chunk (
    digest bytea NOT NULL REFERENCES blob ON DELETE CASCADE,
    number int   NOT NULL,
    data   bytea NOT NULL,
    PRIMARY KEY (digest, number)
);
ALTER TABLE blob_chunk ALTER COLUMN data SET STORAGE EXTERNAL;

-- What a Tree or a Manifest, itself a blob, needs.
CREATE TABLE blob_part (
    whole bytea NOT NULL REFERENCES blob ON DELETE CASCADE,
    part  bytea NOT NULL REFERENCES blob,
    PRIMARY KEY (whole, part)
);
CREATE INDEX blob_part_part ON blob_part (part);

-- An upstream is what several declared sources with the same spec and credential share.
CREATE TABLE upstream (
    id            bytea       PRIMARY KEY,
    due_at        timestamptz NOT NULL DEFAULT now(),
    claimed_by    uuid,
    claimed_until timestamptz,
    failures      int         NOT NULL DEFAULT 0,
    revision      text        NOT NULL DEFAULT '',
    tree          bytea,                            -- digest of the Tree
    tree_blob     bytea REFERENCES blob,            -- its encoding
    fetched_at    timestamptz,
    checked_at    timestamptz,
    reason        text        NOT NULL DEFAULT '',
    message       text        NOT NULL DEFAULT '',
    used_at       timestamptz NOT NULL DEFAULT now(),
    written       xid8        NOT NULL
);
CREATE TRIGGER upstream_written BEFORE INSERT OR UPDATE ON upstream FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- Which upstream a declared source resolves to, and what stands in the way.
CREATE TABLE source (
    kind                 text   NOT NULL,
    namespace            text   NOT NULL,
    name                 text   NOT NULL,
    upstream             bytea,
    observed_generation  bigint NOT NULL DEFAULT 0,
    handled_reconcile_at text   NOT NULL DEFAULT '',
    reason               text   NOT NULL DEFAULT '',
    message              text   NOT NULL DEFAULT '',
    written              xid8   NOT NULL,
    PRIMARY KEY (kind, namespace, name)
);
CREATE INDEX source_upstream ON source (upstream);
CREATE TRIGGER source_written BEFORE INSERT OR UPDATE ON source FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- The output of builds by their whole input.
CREATE TABLE build (
    key      bytea       PRIMARY KEY,
    manifest bytea       NOT NULL REFERENCES blob,
    used_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app (
    key                 text        PRIMARY KEY,
    observed_generation bigint      NOT NULL DEFAULT 0,
    attempted           text        NOT NULL DEFAULT '', -- revision
    revision            text        NOT NULL DEFAULT '',
    release             bytea,
    reason              text        NOT NULL DEFAULT '',
    message             text        NOT NULL DEFAULT '',
    retry_at            timestamptz,
    written             xid8        NOT NULL
);
CREATE INDEX app_written ON app (written);
CREATE TRIGGER app_written BEFORE INSERT OR UPDATE ON app FOR EACH ROW EXECUTE FUNCTION stamp_written();

CREATE TABLE release (
    digest     bytea       PRIMARY KEY,
    app        text        NOT NULL,
    content    bytea       NOT NULL,
    manifest   bytea       NOT NULL REFERENCES blob,
    used_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX release_app ON release (app);

-- Which Release a Revision resolves to for an App.
CREATE TABLE app_revision (
    app      text        NOT NULL,
    revision text        NOT NULL,
    release  bytea       NOT NULL REFERENCES release,
    at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app, revision)
);
CREATE INDEX app_revision_release ON app_revision (release);

CREATE TABLE assignment (
    cluster    uuid        NOT NULL REFERENCES cluster ON DELETE CASCADE,
    app        text        NOT NULL,
    state      text        NOT NULL,
    generation bigint      NOT NULL,
    pin        bigint      NOT NULL,
    release    bytea       REFERENCES release,      -- null: an App that only the spoke knows of is ended
    placement  text        NOT NULL,                -- name of the Placement that put it there; empty: none did
    payload    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    written    xid8        NOT NULL,
    PRIMARY KEY (cluster, app)
);
CREATE INDEX assignment_app ON assignment (app);
CREATE INDEX assignment_written ON assignment (written);
CREATE TRIGGER assignment_written BEFORE INSERT OR UPDATE ON assignment FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- The Manifests of a cluster's Assignment by the generation that pinned them: what its spoke may fetch.
CREATE TABLE assignment_pin (
    cluster  uuid   NOT NULL REFERENCES cluster ON DELETE CASCADE,
    app      text   NOT NULL,
    pin      bigint NOT NULL,
    manifest bytea  NOT NULL REFERENCES blob,
    PRIMARY KEY (cluster, app, pin)
);

-- The latest word of a spoke on each of its Apps.
CREATE TABLE report (
    cluster              uuid        NOT NULL REFERENCES cluster ON DELETE CASCADE,
    app                  text        NOT NULL,
    epoch                bigint      NOT NULL,
    generation           bigint      NOT NULL,
    release              bytea,
    applied              bytea,
    stage                text        NOT NULL,
    converged            boolean     NOT NULL,
    available            boolean     NOT NULL,
    terminal             boolean     NOT NULL,
    waiting              text        NOT NULL,
    ready                jsonb       NOT NULL,
    healthy              jsonb       NOT NULL,
    objects              int         NOT NULL,
    objects_not_ready    int         NOT NULL,
    not_ready            jsonb       NOT NULL,
    held_prune           jsonb,
    handled_reconcile_at text        NOT NULL,
    observed_at          timestamptz NOT NULL,
    drift_corrections    bigint      NOT NULL,
    stored_at            timestamptz NOT NULL DEFAULT now(),
    written              xid8        NOT NULL,
    PRIMARY KEY (cluster, app)
);
CREATE INDEX report_app ON report (app);
CREATE INDEX report_written ON report (written);
CREATE TRIGGER report_written BEFORE INSERT OR UPDATE ON report FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- A person's approval of a held prune in one cluster, for the Release that would prune.
CREATE TABLE prune_approval (
    cluster uuid        NOT NULL REFERENCES cluster ON DELETE CASCADE,
    app     text        NOT NULL,
    release bytea       NOT NULL,
    digest  bytea       NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    written xid8        NOT NULL,
    PRIMARY KEY (cluster, app)
);
CREATE TRIGGER prune_approval_written BEFORE INSERT OR UPDATE ON prune_approval FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- Every step of a rollout takes the next number as the generation of what it writes, so that no generation comes
-- twice in an epoch.
CREATE SEQUENCE assignment_generation;

-- A person's requests concerning an App in one cluster.
CREATE TABLE instance_request (
    cluster      uuid        NOT NULL REFERENCES cluster ON DELETE CASCADE,
    app          text        NOT NULL,
    requested_at text        NOT NULL DEFAULT '',
    ending       jsonb,                             -- the tombstone for what only the spoke knows of
    confirmed    boolean     NOT NULL DEFAULT false, -- of the tombstone to come: a person confirmed the deletion
    at           timestamptz NOT NULL DEFAULT now(),
    written      xid8        NOT NULL,
    PRIMARY KEY (cluster, app)
);
CREATE TRIGGER instance_request_written BEFORE INSERT OR UPDATE ON instance_request FOR EACH ROW EXECUTE FUNCTION stamp_written();

CREATE TABLE event (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL,
    warning   boolean     NOT NULL,
    reason    text        NOT NULL,
    message   text        NOT NULL,
    kind      text        NOT NULL,
    namespace text        NOT NULL,
    name      text        NOT NULL,
    cluster   text        NOT NULL,                 -- name
    object    text        NOT NULL,
    written   xid8        NOT NULL
);
CREATE INDEX event_about ON event (kind, namespace, name, id);
CREATE INDEX event_written ON event (written);
CREATE TRIGGER event_written BEFORE INSERT OR UPDATE ON event FOR EACH ROW EXECUTE FUNCTION stamp_written();

-- Who changed what. Each row's hash covers the one before, so that a change of any shows.
CREATE TABLE audit (
    number    bigint      PRIMARY KEY,
    at        timestamptz NOT NULL,
    principal text        NOT NULL,
    action    text        NOT NULL,
    object    text        NOT NULL,
    detail    text        NOT NULL,
    previous  bytea       NOT NULL,
    hash      bytea       NOT NULL
);
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('flotilla.audit_retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

CREATE TABLE outbox (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text   NOT NULL
);

-- A question to a spoke; its answer is sealed and read once.
CREATE TABLE question (
    id       uuid        PRIMARY KEY,
    cluster  uuid        NOT NULL REFERENCES cluster ON DELETE CASCADE,
    ask      text        NOT NULL,                  -- what, such as held-prune
    app      text        NOT NULL,
    deadline timestamptz NOT NULL,
    sent     boolean     NOT NULL DEFAULT false,
    answered boolean     NOT NULL DEFAULT false,
    answer   bytea,
    error    text        NOT NULL DEFAULT ''
);
