"""Scores and truth of captions; nothing here needs a network."""
