"""From image files to stacks: what belongs together, in which order, and with which geometry."""
