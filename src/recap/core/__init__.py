"""Settings, paths, and the files that stages read and write: the base of every stage."""
