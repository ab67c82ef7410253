"""What the networks look at: saliency, fooling, class visualization, words back to pixels."""
