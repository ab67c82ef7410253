"""The stage `sanity`: gradient checks, and models that overfit a few captions."""
