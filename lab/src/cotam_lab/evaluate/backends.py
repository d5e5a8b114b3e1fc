"""What models are given and return: `cotam_lab.evaluate.local` and `cotam_lab.evaluate.endpoint`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cotam.errors import CotamError

__all__ = ["Coded", "Reply", "StoppedError"]


class StoppedError(CotamError):
    """The model cannot answer any question."""


@dataclass(frozen=True)
class Reply:
    """An answer, and tokens in (image tokens included) and out; None where a server does not report them."""

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True)
class Coded:
    """The ``.cotam`` files that images were decoded from, and the token adapter to read them with."""

    files: tuple[bytes, ...]
    adapter: Path
