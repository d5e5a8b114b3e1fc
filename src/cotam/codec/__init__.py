"""The learned codec: latents, entropy coding, weights."""
