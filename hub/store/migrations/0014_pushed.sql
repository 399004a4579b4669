-- When somebody last pushed to an ExternalArtifact, be it what it was at already.
ALTER TABLE source ADD COLUMN pushed_at timestamptz;
