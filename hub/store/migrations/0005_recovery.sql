-- When the recovery under way began: what was looked at since counts, in however many tries.
ALTER TABLE hub ADD COLUMN recovering_since timestamptz;
