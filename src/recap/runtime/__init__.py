"""A process's arithmetic, its checkpoints, and the processes beside it."""
