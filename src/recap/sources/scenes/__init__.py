"""Scenes of digits: what is in them, how they look, how they are described."""
