-- What builds of an App looked at before its last one with that recipe, where that was something else: a Source that goes
-- back to what it had is found built.
CREATE TABLE earlier_inputs (
    app    text        NOT NULL,
    recipe bytea       NOT NULL,
    digest bytea       NOT NULL,                    -- of the inputs
    inputs bytea       NOT NULL,                    -- as in build_inputs
    at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app, recipe, digest)
);
