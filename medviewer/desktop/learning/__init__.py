"""From corrections to a better model, as far as the window shows it."""
