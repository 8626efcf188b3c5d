"""Segmentations, structures and doses of files, laid over the shown images."""
