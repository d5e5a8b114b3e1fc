"""Guides: importance maps of images, and the gain offset maps made from them."""
