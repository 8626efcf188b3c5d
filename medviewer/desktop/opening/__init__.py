"""From paths to pictures: what was opened, what it is, and what became of every file."""
