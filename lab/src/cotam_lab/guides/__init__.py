"""Importance maps from encoders: CLIP, sensitivities, and training of the embedded guide."""
