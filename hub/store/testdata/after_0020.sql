UPDATE cluster SET connected = NOT connected;
