"""Captions as words and as numbers: vocabulary, encoding, caption files."""
