"""The target `cluster`: verified resources applied to a Kubernetes API server, with an inventory."""
