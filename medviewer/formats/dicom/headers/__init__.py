"""What one file says of itself: an ImageFile, an object, or a reason why it is neither."""
