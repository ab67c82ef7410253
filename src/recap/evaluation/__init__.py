"""The stage `evaluate`: captions of the validation images, and their scores."""
