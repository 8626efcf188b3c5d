"""DICOM: headers, stacks, pixels, text, other objects."""
