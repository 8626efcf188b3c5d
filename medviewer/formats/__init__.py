"""Files in and out: scan folders into a catalog of stacks, load voxels, write what others read."""
