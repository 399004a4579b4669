-- A look at what changed finds the clusters that connected or left among ten thousand.
CREATE INDEX cluster_linked ON cluster (linked);

-- The newest Rollouts of a namespace are found among all.
CREATE INDEX rollout_namespace ON rollout (split_part(app, '/', 3), created_at DESC, id DESC);
