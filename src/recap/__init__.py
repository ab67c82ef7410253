"""recap: reproducible image captioning."""
