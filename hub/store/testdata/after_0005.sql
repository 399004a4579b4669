UPDATE hub SET recovering_since = now();
