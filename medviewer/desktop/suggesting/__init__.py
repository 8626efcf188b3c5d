"""What models say about the shown stack, and the person's verdict."""
