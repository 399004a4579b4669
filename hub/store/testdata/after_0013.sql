UPDATE upstream SET remote = sha256('remote'), looked_by = gen_random_uuid(), detail = '{"size": 1}';
UPDATE source SET detail = '{"size": 1}', stale_since = now();
