"""How each task is trained: one module a task."""
