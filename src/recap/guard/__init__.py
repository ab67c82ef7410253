"""Checks around a stage: it ends with DVC, writes alone, and its outputs belong to what it read."""
