"""How a process computes: its arithmetic, its checkpoints, and the processes beside it."""
