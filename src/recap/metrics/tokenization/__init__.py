"""Captions to words, as the official scoring tokenizes them."""
