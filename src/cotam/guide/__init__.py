"""Guides: from a picture to where a vision encoder looks. Nothing heavy is imported before it is used."""
