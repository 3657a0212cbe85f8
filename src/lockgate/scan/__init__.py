"""What a scanner said of one digest."""
