INSERT INTO earlier_inputs (app, recipe, digest, inputs) VALUES ('hub/Kustomization/apps/app', 'recipe', sha256('earlier'), 'earlier');
