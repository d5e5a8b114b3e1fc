"""Names of inputs: addresses and cameras, and files, whatever characters they have."""

from __future__ import annotations

import os

__all__ = ["is_live"]


def is_live(name: str) -> bool:
    """Whether a name is an address or a camera. A file that exists is a file."""
    return name.startswith("/dev/video") or ("://" in name and not os.path.exists(name))
