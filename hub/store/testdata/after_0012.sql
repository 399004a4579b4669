INSERT INTO distrusted_shape (namespace, builder, shape) VALUES ('apps', 'builder', sha256('shape'));
