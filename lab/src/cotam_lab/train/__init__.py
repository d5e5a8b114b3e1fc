"""Training: data, losses, loop and export. Needs ``pip install 'cotam[train]'``."""
