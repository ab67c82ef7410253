"""The stage `evaluate`: captions of the test images, and their scores."""
