"""Entry points by which model servers load the Pillow plugin.

vLLM calls `register` in each of its processes through the group ``vllm.general_plugins``, SGLang through
``sglang.srt.plugins``.
"""

from __future__ import annotations

__all__ = ["register"]


def register() -> None:
    """Register the Pillow plugin, so that the server opens .cotam images. Safe to call repeatedly."""
    import cotam.pillow  # noqa: F401
