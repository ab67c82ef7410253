"""Captions from a decoder."""
