"""Make the images for a model: after a codec, or unchanged."""

from __future__ import annotations

import functools
import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cotam.codec.shared import codec_of
from cotam.errors import InputError
from cotam.format.header import read_header
from cotam.image.read import Pixels, to_rgb
from cotam_lab.bench.baselines import Codec
from cotam_lab.bench.ours import ours
from cotam_lab.evaluate.backends import Coded
from cotam_lab.evaluate.questions import Question

__all__ = ["Shown", "WithTokens", "shown", "with_tokens"]


@dataclass(frozen=True)
class WithTokens(Codec):
    """Cotam, whose files a model reads with a token adapter."""

    adapter: Path


def with_tokens(codec: Codec, file: Path) -> WithTokens | None:
    """Combine a codec with a token adapter; None if it makes no files that the adapter reads.

    Raises InputError if the file is not a token adapter.
    """
    from cotam_lab.nets.adapter import TokenAdapter  # loads torch

    adapter = TokenAdapter.load(file)
    if not codec.name.startswith("cotam") or "view=human" in codec.name:
        return None
    if "profile=" not in codec.name:  # pages too, with the weight set that the adapter reads
        codec = replace(ours(f"{codec.name.partition(':')[2]},profile=mllm"), name=codec.name)
    made = codec.encode(np.zeros((32, 32, 3), np.uint8), 50)
    if not adapter.reads(codec_of(read_header(made).weights).weights.digest):
        return None
    version = f"{codec.version}, tokens {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    return WithTokens(**vars(codec) | {"name": f"{codec.name}+tokens", "version": version}, adapter=file)


@dataclass(frozen=True)
class Shown:
    """Images as a model gets them, uint8 (H, W, 3), and the files that it reads with a token adapter.

    ``bytes`` are those of all files, coded or the originals; ``seconds`` those of encoding and decoding.
    """

    images: tuple[Pixels, ...]
    coded: Coded | None
    bytes: int
    seconds: float

    @property
    def pixels(self) -> int:
        """Number of pixels of all images."""
        return sum(one.shape[0] * one.shape[1] for one in self.images)


def shown(question: Question, codec: Codec | None, quality: int | None) -> Shown:
    """Return the images of a question after a codec; unchanged if it is None."""
    return _shown(tuple(question.paths()), codec, quality)


# Questions about one image are adjacent; a larger cache would only use memory.
@functools.lru_cache(maxsize=4)
def _shown(paths: tuple[Path, ...], codec: Codec | None, quality: int | None) -> Shown:
    originals = tuple(to_rgb(path) for path in paths)
    if codec is None or quality is None:
        return Shown(originals, None, sum(path.stat().st_size for path in paths), 0.0)
    start = time.perf_counter()
    files = tuple(codec.encode(pixels, quality) for pixels in originals)
    decoded = tuple(codec.decode(file) for file in files)
    seconds = time.perf_counter() - start
    if [one.shape for one in decoded] != [one.shape for one in originals]:
        raise InputError("an image was decoded in another size")
    coded = Coded(files, codec.adapter) if isinstance(codec, WithTokens) else None
    return Shown(decoded, coded, sum(map(len, files)), seconds)
