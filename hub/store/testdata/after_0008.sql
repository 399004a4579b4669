INSERT INTO build_inputs (app, recipe, inputs) VALUES ('hub/Kustomization/apps/app', 'recipe', 'inputs');
UPDATE app SET reason = 'AccessDenied';
