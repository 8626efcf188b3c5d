"""DICOM objects that are no pictures of their own: segmentations, structures, doses, reports, presentation states."""
