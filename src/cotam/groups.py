"""Code the frames of a sequence in groups: by the learned codec, or as stills pasted over each other.

A group starts with a key frame and does not refer to frames before it. Screens, slides and drawings are
pasted: of each frame only the areas that changed are coded, as stills.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cotam.codec.planes import Latents
from cotam.codec.shared import codec, codec_of
from cotam.codec.temporal import Frame, FrameDecoder, FrameEncoder
from cotam.errors import DamagedError, FormatError, LimitError
from cotam.format.header import Header
from cotam.format.sequence import CodedFrame
from cotam.guide.content import flatness
from cotam.options import Options, View
from cotam.pasted import PastedDecoder, PastedEncoder

__all__ = ["GroupDecoder", "GroupEncoder"]

SCREEN_FLATNESS = 0.8
"""Smallest flatness of the first frame of a pasted group. Nine of ten training screens have more, also as
H.264, which removes noise. Photographs and natural clips have less (lab/docs/tried.md)."""

LEAST_FLATNESS = 0.6
"""Smallest flatness of the other frames of a pasted group."""


class GroupEncoder:
    """Encodes frames in order; "auto" in ``options`` is resolved by the ``first`` one, uint8 (H, W, 3).

    Attributes
    ----------
    weights : first two bytes of the hash of the weight set of learned groups
    """

    def __init__(self, options: Options, first: np.ndarray, key_every: int) -> None:
        self._may_paste, self._is_flat = options.may_choose_payload, False
        # If the first frame is pasted, learned ones will be photographs.
        others = replace(options, profile="mllm") if self._looks_flat(first) else options
        plan = others.resolve(first, sequence=True)
        learned = codec(plan.weights)
        self.weights = learned.weights.short_hash
        self._learned = FrameEncoder(
            learned, first.shape[:2], plan.quality, key_every=key_every, allocate=plan.frame_allocator()
        )
        self._pasted = PastedEncoder(options, key_every)
        self._is_pasted: bool | None = None  # the current group

    def prepare(self, pixels: np.ndarray) -> Frame | np.ndarray:
        """Analyse the pixels, uint8 (H, W, 3), of the next frame; return them as they are if it is flat."""
        self._is_flat = self._looks_flat(pixels)
        return pixels if self._is_flat else self._learned.prepare(pixels)

    def _looks_flat(self, pixels: np.ndarray) -> bool:
        """Whether to paste a frame."""
        least = LEAST_FLATNESS if self._is_flat else SCREEN_FLATNESS
        return self._may_paste and flatness(pixels) >= least

    def encode(
        self,
        frame: Frame | np.ndarray,
        following: Frame | np.ndarray | None,
        fields: bytes,
        *,
        key: bool = False,
    ) -> CodedFrame:
        """Encode a frame from `prepare`; arguments are as for `FrameEncoder.encode`."""
        is_pasted = isinstance(frame, np.ndarray)
        key = key or is_pasted != self._is_pasted
        self._is_pasted = is_pasted
        if isinstance(frame, np.ndarray):
            return self._pasted.encode(frame, fields, key=key)
        ahead = following if isinstance(following, Frame) else None
        return self._learned.encode(frame, ahead, fields, key=key)


class GroupDecoder:
    """Decodes frames in order, starting at a key frame; ``header`` is that of the sequence."""

    def __init__(self, header: Header, view: View) -> None:
        self._header, self._view = header, view
        self._learned: FrameDecoder | None = None
        self._pasted = PastedDecoder((header.height, header.width), view)
        self._is_pasted: bool | None = None  # the current group
        self._last: Latents | np.ndarray | None = None

    def decode(self, number: int, frame: CodedFrame, fields: bytes) -> None:
        """Decode the frame of this ``number``; ``fields`` is as for `GroupEncoder.encode`.

        Raises FormatError or LimitError with the number if the frame is not valid, or does not follow the one
        before, and UnknownWeightsError as `cotam.decode`.
        """
        try:
            if frame.key:
                self._is_pasted = frame.pasted
            elif self._is_pasted is None:
                raise DamagedError("no key frame is before it")
            elif self._is_pasted != frame.pasted:
                raise DamagedError("no key frame of its group is before it")
            self._last = self._decode_pasted_or_learned(frame, fields)
        except (FormatError, LimitError) as error:
            raise type(error)(f"frame {number}: {error}") from error

    def _decode_pasted_or_learned(self, frame: CodedFrame, fields: bytes) -> Latents | np.ndarray:
        if frame.pasted:
            return self._pasted.decode(frame, fields)
        if self._learned is None:
            size = (self._header.height, self._header.width)
            self._learned = FrameDecoder(codec_of(self._header.weights), size, self._header.quality)
        return self._learned.decode(frame, fields)

    def pixels(self) -> np.ndarray:
        """Return the pixels, uint8 (H, W, 3), of the frame that was decoded last."""
        if isinstance(self._last, Latents):
            assert self._learned is not None
            return self._learned.codec.synthesise(self._last, self._view)
        assert self._last is not None
        return self._last
