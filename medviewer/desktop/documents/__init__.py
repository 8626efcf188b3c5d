"""Reports, key images, presentation states and carried documents in the window."""
