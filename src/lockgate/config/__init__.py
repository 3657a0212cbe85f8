"""Manifests as signed artifacts: rendered, pinned, packaged, compared."""
