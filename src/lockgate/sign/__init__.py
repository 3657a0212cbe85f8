"""Statements, envelopes, keys, verification."""
