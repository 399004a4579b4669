INSERT INTO blob (digest, size, object) VALUES ('stored elsewhere', 1, 'name');
