"""The user's own cases."""
