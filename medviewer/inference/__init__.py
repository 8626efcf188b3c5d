"""What models say about a case: task cards, model store, networks, pre- and post-processing, the inference process."""
