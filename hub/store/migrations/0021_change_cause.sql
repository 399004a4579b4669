-- Why whoever began a Rollout did, in their words; empty: it began by itself, or nobody said.
ALTER TABLE rollout ADD COLUMN change_cause text NOT NULL DEFAULT '';
