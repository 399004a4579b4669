INSERT INTO object (home, kind, namespace, name) VALUES ('hub', 'Kustomization', 'apps', 'younger');
