"""What every model looks like to the harness, and what it answers.

Knows no model: `cotam_lab.evaluate.local` runs one with transformers, `cotam_lab.evaluate.endpoint` asks a server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cotam.errors import CotamError
from cotam.image.read import Pixels

__all__ = ["Backend", "Coded", "Reply", "StoppedError"]


class StoppedError(CotamError):
    """No question at all can be answered, so asking on would be pointless."""


@dataclass(frozen=True)
class Reply:
    """What a model said.

    Attributes
    ----------
    text : str
    prompt_tokens, completion_tokens : int or None
        Tokens that went in, those of the pictures among them, and came out; None where a server does not say.
    """

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True)
class Coded:
    """What pictures were decoded from, for a model that sees more in it than the pictures.

    Attributes
    ----------
    files : tuple of bytes
        A ``.cotam`` file for each picture.
    adapter : Path
        Of a token adapter (`cotam_lab.nets.adapter`).
    """

    files: tuple[bytes, ...]
    adapter: Path


class Backend(Protocol):
    """A model that looks at pictures and answers; greedy, so that the same question has the same answer."""

    name: str
    """Part of the key of every row."""

    def prepare(self) -> None:
        """Load the model, or look whether the server is there.

        Raises
        ------
        StoppedError, MissingExtraError
        """

    def ask(
        self, pictures: Sequence[Pixels], prompt: str, max_tokens: int, coded: Coded | None = None
    ) -> Reply:
        """Answer a question about pictures, uint8 (height, width, 3) RGB each, or about what they come from.

        Raises
        ------
        StoppedError
            If the model is none for token adapters, and ``coded`` is given.
        """

    def losses(
        self, pictures: Sequence[Pixels], prompt: str, choices: Sequence[str], coded: Coded | None = None
    ) -> tuple[list[float], int]:
        """Mean negative log-likelihood of a token of each choice, in nats, and the tokens that went in."""

    def close(self) -> None:
        """Let go of the model, or the server."""
