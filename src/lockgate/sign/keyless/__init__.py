"""Keyless: signatures by a short-lived certificate, proven by a transparency log and timestamps, read offline."""
