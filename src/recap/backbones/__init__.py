"""Networks that see images, and how one is trained or fetched."""
