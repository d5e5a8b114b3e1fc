"""JPEG, WebP, AVIF and PNG files for models that open nothing else."""
