"""Invoke collections and console output; the only floor that knows Invoke."""
