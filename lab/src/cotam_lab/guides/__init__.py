"""Importance maps from encoders: CLIP attention, sensitivities, and training of the built-in guide."""
