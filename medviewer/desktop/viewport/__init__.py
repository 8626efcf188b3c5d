"""The viewports: a cut through the volume, what lies over it, and what the hand does in it."""
