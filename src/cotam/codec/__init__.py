"""The learned codec: networks, symbols, weight sets."""
