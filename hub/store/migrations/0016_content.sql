-- Where the bytes of a blob are: NULL, in blob_chunk; else in object storage, below the blob's digest by this name. Each write
-- has a name of its own, so that what is removed for one row is never what another names. '': they are lost, and are
-- stored again when somebody puts them.
ALTER TABLE blob ADD COLUMN object text;

-- Where new ones go, and when the storage's list was last compared with the table.
ALTER TABLE hub
    ADD COLUMN blobs           text        NOT NULL DEFAULT '', -- '': here
    ADD COLUMN blobs_listed_at timestamptz NOT NULL DEFAULT now();
