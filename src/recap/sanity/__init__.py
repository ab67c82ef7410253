"""The stage `sanity`: gradients beside numerical ones, and a few captions learned by heart."""
