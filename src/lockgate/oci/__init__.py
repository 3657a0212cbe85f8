"""What images are and where they live (OCI image specification 1.1)."""
