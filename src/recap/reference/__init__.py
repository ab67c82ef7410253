"""The course's interfaces, written to be read: the oracle of the fast code."""
