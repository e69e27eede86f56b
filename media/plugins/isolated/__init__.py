"""Plugins in a process of their own: shared memory, the child, and who looks after it."""
