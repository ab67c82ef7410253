"""Scores and truth of captions."""
