"""Sources, captions and features."""
