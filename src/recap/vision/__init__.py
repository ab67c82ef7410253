"""Backbones, features, PCA, and what the networks see."""
