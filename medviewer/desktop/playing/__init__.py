"""Time: what is played, by which clock, and the bar for it."""
