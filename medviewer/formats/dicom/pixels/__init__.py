"""From bytes to stored values, whatever the transfer syntax."""
