"""Read, write and resize images and video."""
