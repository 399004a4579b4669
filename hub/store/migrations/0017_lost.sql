-- What object storage does not have, or has with other bytes. The name stays: it may be there again, as after a restore. It is
-- found then when it is read, and stored again, under another name, when somebody puts it. A hub of before knows such a row for an
-- empty blob, and marks what it does not find by the name '', so that none may run beside one of this version.
ALTER TABLE blob ADD COLUMN lost boolean NOT NULL DEFAULT false;
UPDATE blob SET object = NULL, lost = true WHERE object = '';
-- They are few, and are looked for among all the parts of a Tree's nodes.
CREATE INDEX blob_lost ON blob (digest) WHERE lost;
