-- The Apps that depend on others: mostly few.
CREATE INDEX object_dependency ON object (key) WHERE spec ? 'dependsOn' OR annotations ? 'fleet.flotilla.dev/depends-on';
