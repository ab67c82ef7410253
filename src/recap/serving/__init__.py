"""Decoders as models that answer requests: packed for MLflow, and served."""
