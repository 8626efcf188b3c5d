"""The synthetic chest: recipe in, CT and its truth out; whole studies and quick crops of nodules."""
