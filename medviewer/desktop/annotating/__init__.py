"""The human work on the shown stack: what is edited, kept, saved and outlined."""
