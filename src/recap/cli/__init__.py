"""The command line: `recap ...`."""
