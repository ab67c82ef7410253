"""Searches for captions: greedy, sampling, beams, minimum Bayes risk."""
