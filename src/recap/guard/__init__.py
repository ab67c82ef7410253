"""What stands around a stage: it ends with DVC, writes alone, and belongs to what it read."""
