-- The namespace whose build it is, for which builds are forgotten when one of them turns out to be wrong. Builds of before
-- have none: they are of an older builder, and not found any more.
ALTER TABLE build ADD COLUMN namespace text NOT NULL DEFAULT '';

-- Shapes of a namespace's trees of which a builder made something else than kustomize did.
CREATE TABLE distrusted_shape (
    namespace text        NOT NULL,
    builder   text        NOT NULL,                 -- its version
    shape     bytea       NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, builder, shape)
);
