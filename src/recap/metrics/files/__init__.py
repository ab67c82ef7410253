"""Files of captions in, tables of scores out."""
