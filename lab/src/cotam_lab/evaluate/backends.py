"""The interface of models: `cotam_lab.evaluate.local` and `cotam_lab.evaluate.endpoint`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cotam.errors import CotamError
from cotam.image.read import Pixels

__all__ = ["Backend", "Coded", "Reply", "StoppedError"]


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


class Backend(Protocol):
    """A multimodal model. Decoding is greedy: the same question gets the same answer."""

    name: str
    """Part of the key of every row."""

    def prepare(self) -> None:
        """Load the model, or connect to the server.

        Raises
        ------
        StoppedError
        """

    def ask(
        self, images: Sequence[Pixels], prompt: str, max_tokens: int, coded: Coded | None = None
    ) -> Reply:
        """Answer a question about images, uint8 (height, width, 3) RGB, or about the files in ``coded``.

        Raises StoppedError if ``coded`` is given and the model does not take token adapters.
        """

    def losses(
        self, images: Sequence[Pixels], prompt: str, choices: Sequence[str], coded: Coded | None = None
    ) -> tuple[list[float], int]:
        """Return the mean negative log-likelihood a token of each choice, in nats, and the prompt tokens."""

    def close(self) -> None:
        """Release the model or the connection."""
