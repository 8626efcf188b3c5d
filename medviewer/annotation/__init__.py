"""Human work on images: segmentations, edit operations, tools, undo, journal, revisions."""
