UPDATE cluster SET serial = '4f', certified_at = now();
