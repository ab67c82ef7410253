"""Decoders: features in, words out."""
