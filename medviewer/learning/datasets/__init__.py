"""Readers of training data: one module a layout."""
