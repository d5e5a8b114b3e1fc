"""Weight sets of the lab: `base`, trained only for squared error, the reference of comparisons."""

from __future__ import annotations

from pathlib import Path

__all__ = ["BASE"]

BASE = Path(__file__).parent / "base"
"""Folder of the weight set `base`; the product finds it through the entry-point group ``cotam.weights``."""
