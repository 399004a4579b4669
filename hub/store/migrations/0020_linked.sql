-- A look at what changed finds the clusters that connected or left among ten thousand.
CREATE INDEX cluster_linked ON cluster (linked);
