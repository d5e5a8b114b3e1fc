"""vLLM's plugin: it calls `register` in each of its processes, and opens pictures with Pillow from then on.

Found through the entry point group ``vllm.general_plugins``, so installing the package is all there is to do.
Knows nothing of vLLM: that calls, and never the other way.
"""

from __future__ import annotations

__all__ = ["register"]


def register() -> None:
    """Teach Pillow to open .cotam. May be called more than once."""
    import cotam.pillow  # noqa: F401
