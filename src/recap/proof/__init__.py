"""Shows others what a run promises and that it holds: dvc.lock, its outputs, and where two runs part."""
