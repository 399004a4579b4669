UPDATE cluster SET assigned = 1;
