"""MLflow: the mirror of what the pipeline did."""
