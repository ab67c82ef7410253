"""Explanations of the networks: saliency, fooling, class visualization, words back to pixels."""
