"""Image features: extraction, PCA, concepts, familiarity."""
