"""Training of the codec: data, losses, loop and export."""
