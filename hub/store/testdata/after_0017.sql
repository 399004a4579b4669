INSERT INTO blob (digest, size, object, lost) VALUES ('lost elsewhere', 1, 'name', true);
