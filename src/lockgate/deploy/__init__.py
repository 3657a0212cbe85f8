"""The only floor that changes a running system."""
