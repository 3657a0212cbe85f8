"""The ground floor: errors, canonical bytes, settings, files and child processes."""
