"""The checkout around the library: the stages of dvc.yaml, the user's files, git."""
