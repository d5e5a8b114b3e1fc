"""Encode a still image by the learned codec, as a palette or as AV1, and decode it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from cotam.errors import FormatError, MissingCodecError, TargetSizeError
from cotam.format.header import File, Kind
from cotam.options import Plan, View

if TYPE_CHECKING:
    import numpy as np

    from cotam.codec.flat import Coded, FlatCoder

__all__ = ["decode_still", "encode_still"]

SHRINK_MARGIN = 2.0
"""An image that does not fit a byte budget at quality 0 is shrunk until quality 0 would take the budget
divided by this, so that the smaller image is coded at a higher quality, at which text can be read."""

MLLM_ERROR = 0.64
"""Error of the weight set "mllm" for vision encoders, relative to AV1 (lab/docs/screens.md)."""


def encode_still(pixels: np.ndarray, plan: Plan, metadata: Mapping[str, bytes]) -> File:
    """Encode pixels, uint8 (H, W, 3), as planned.

    An image that does not fit into the target size at any quality is shrunk. Raises TargetSizeError if none
    of its sizes fits, or if the plan has levels.
    """
    from cotam.image.fit import shrink_to_fit

    whole = pixels
    while True:
        try:
            return _encode_at_size(pixels, plan, metadata)
        except TargetSizeError as error:
            count = pixels.shape[0] * pixels.shape[1]
            if plan.target_size is None or count == 1 or plan.levels is not None:
                raise
            share = plan.target_size / error.smallest / SHRINK_MARGIN
        pixels = shrink_to_fit(whole, max_pixels=max(1, min(int(count * share), count * 3 // 4)))


def _encode_at_size(pixels: np.ndarray, plan: Plan, metadata: Mapping[str, bytes]) -> File:
    """Encode at the quality of a plan, or at the highest quality that fits into its target size."""
    if plan.payload == "learned" or (plan.payload != "flat" and plan.effort == "fast"):
        return _encode_learned(pixels, plan, metadata)
    from cotam.codec.flat import FlatCoder, better
    from cotam.codec.standard import can_encode_av1

    coder = FlatCoder(pixels, metadata, palette=plan.payload != "learned or av1", effort=plan.effort)
    has_av1 = can_encode_av1(*pixels.shape[1::-1])
    if plan.payload == "flat":
        # Without AVIF there may be too many colours, or too many bytes.
        with suppress(MissingCodecError, *(() if has_av1 else (TargetSizeError,))):
            return _encode_flat(coder, plan).file
        return _encode_learned(pixels, plan, metadata)
    try:
        learned = _encode_learned(pixels, plan, metadata)
    except TargetSizeError:
        if not has_av1:
            raise
        return _encode_flat(coder, plan).file
    try:
        flat = _encode_flat(coder, plan)
    except (MissingCodecError, TargetSizeError):
        return learned
    from cotam.codec.shared import codec

    factor = MLLM_ERROR if plan.weights == "mllm" else 1.0
    measured = coder.measure(learned, codec(plan.weights).decode(learned), factor)
    return better(measured, flat, plan.quality if plan.target_size is None else None).file


def _encode_flat(coder: FlatCoder, plan: Plan) -> Coded:
    if plan.target_size is None:
        return coder.encode(plan.quality)
    return coder.encode_within(plan.target_size)


def _encode_learned(pixels: np.ndarray, plan: Plan, metadata: Mapping[str, bytes]) -> File:
    from cotam.codec.shared import codec, open_ahead
    from cotam.runtime import ENCODING

    open_ahead(plan.weights, ENCODING)
    learned, levels = codec(plan.weights), plan.levels_for(pixels)
    if plan.target_size is None:
        return learned.encode(pixels, plan.quality, levels=levels, metadata=metadata)
    return learned.encode_within(pixels, plan.target_size, levels=levels, metadata=metadata)


def decode_still(file: File, view: View) -> np.ndarray:
    """Decode a payload to pixels, uint8 (H, W, 3); FormatError for a patch, which needs an earlier image."""
    if file.kind is Kind.LEARNED:
        from cotam.codec.shared import codec_of
        from cotam.runtime import DECODING

        return codec_of(file.header.weights, DECODING).decode(file, view=view)
    if file.kind in (Kind.AV1, Kind.LOSSLESS):
        from cotam.codec.standard import decode_av1, decode_lossless

        decode_payload = decode_av1 if file.kind is Kind.AV1 else decode_lossless
        return decode_payload(file.payload, file.width, file.height)
    raise FormatError(f"a file of kind {file.kind.name.lower()} cannot be decoded by itself")
