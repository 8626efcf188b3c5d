"""Voxels and where they lie: Grid, Volume, Window, planes. numpy only."""
