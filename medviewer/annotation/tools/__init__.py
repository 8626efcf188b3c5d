"""The geometry of the annotating tools: which voxels a gesture in a plane means. No screen here."""
