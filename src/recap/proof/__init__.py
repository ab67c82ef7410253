"""Verification: dvc.lock, its outputs, and the differences of two runs."""
