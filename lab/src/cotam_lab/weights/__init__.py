"""Weight sets of the lab: `base`, trained for squared error alone, the reference."""

from __future__ import annotations

from pathlib import Path

__all__ = ["BASE"]

BASE = Path(__file__).parent / "base"
"""Folder of the weight set `base`; the product finds it through the entry-point group ``cotam.weights``."""
