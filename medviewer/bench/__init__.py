"""What `medviewer bench` measures and `medviewer self-test` checks."""
