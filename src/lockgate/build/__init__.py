"""Source to image: git, a locked stack, locked wheels, layers, an image index."""
