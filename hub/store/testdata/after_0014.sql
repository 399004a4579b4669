UPDATE source SET pushed_at = now();
