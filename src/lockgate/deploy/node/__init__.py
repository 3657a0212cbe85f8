"""A Kubernetes node in one container, for development and tests: `inv cluster.up`, `down`, `status`."""
