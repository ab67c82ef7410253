"""The checkout around the library: the stages of dvc.yaml and their journals, the user's files, git."""
