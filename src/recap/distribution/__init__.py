"""Several processes, on one machine or more, that share the work of a stage."""
