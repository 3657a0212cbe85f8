"""May it pass? Pure: no file, no process, no socket, no clock."""
