UPDATE object SET spec = spec || '{"dependsOn": [{"name": "db"}]}' WHERE key = 'hub/Kustomization/apps/app';
