"""Lockgate takes Python services from commit to cluster and proves every step."""

__version__ = "0.1.0"
