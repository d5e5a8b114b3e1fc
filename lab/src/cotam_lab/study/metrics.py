"""Metrics of the study: distances by layer, moved attention, and counting without language.

Counting: given the box of one object, how many like it are in the image?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import label

from cotam.image.read import Pixels
from cotam_lab.metrics.base import Metric, remember_last_image
from cotam_lab.metrics.features import DEFAULT, see, teacher_named
from cotam_lab.nets.teachers import as_tensor

__all__ = ["COUNT", "LAYERS", "attention_shift", "count_like", "layers_metric"]

LAYERS = 12
"""Of the default encoder."""


def layers_metric() -> Metric:
    """Make the metric of distances after each layer and of the shift of attention, default encoder.

    Scores ``layer_0`` (patch embeddings) … ``layer_12``: mean squared difference of normalised tokens, so
    less is better; ``attention``: `attention_shift`.
    """
    keys = (*(f"layer_{number}" for number in range(LAYERS + 1)), "attention")
    return Metric("layers", keys, (), _layers, prepare=_prepare)


def attention_shift(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Compute the share of attention that moved: half the sum of absolute differences, 0…1, mean over rows.

    Parameters
    ----------
    ours, theirs : (layers, tokens), each row sums to 1
    """
    return float(0.5 * np.abs(ours - theirs).sum(axis=1).mean())


def count_like(tokens: np.ndarray, box: Sequence[int], patch: int) -> int:
    """Count objects that look like the one in a box.

    The mean token in the box is compared with all tokens by cosine similarity. Tokens above a threshold, 0.6
    of the way from the image's median to the box's own, are joined to connected parts; those of at least a
    quarter of the box's area are counted. Both constants were chosen on scenes of seed 0, which the study
    does not use.

    Parameters
    ----------
    tokens : (rows, columns, channels) of mean 0 over channels
    box : left, top, right, bottom in pixels of the encoded image
    patch : pixels a side of a token
    """
    unit = tokens / np.linalg.norm(tokens, axis=2, keepdims=True)
    left, top, right, bottom = (side / patch for side in box)
    rows = slice(round(top + 0.4), max(round(bottom - 0.4), round(top + 0.4) + 1))
    columns = slice(round(left + 0.4), max(round(right - 0.4), round(left + 0.4) + 1))
    middle = unit[rows, columns].mean(axis=(0, 1))
    similarity = unit @ (middle / np.linalg.norm(middle))
    own, usual = float(np.median(similarity[rows, columns])), float(np.median(similarity))
    stands_out = similarity > usual + 0.6 * (own - usual)
    parts, number = label(stands_out)
    areas = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return int((areas >= area / 4).sum())


def _prepare() -> object:
    return teacher_named(DEFAULT)


def _layer_states(image: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Normalised tokens after each layer, (layers + 1, tokens, channels); attention, (layers, tokens)."""
    teacher = teacher_named(DEFAULT)
    with torch.inference_mode():
        fitted = teacher.fit(as_tensor(image), teacher.side)
        seen = teacher.run(fitted, output_hidden_states=True, output_attentions=True)
        states = torch.cat(seen.hidden_states)[:, teacher.prefix :]
        attention = torch.cat([a[:, :, 0, teacher.prefix :].mean(1) for a in seen.attentions])
        tokens = F.layer_norm(states, states.shape[-1:])
        return tokens.numpy(), (attention / attention.sum(1, keepdim=True)).numpy()


_original_states = remember_last_image(_layer_states)


def _layers(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    ours, looked = _layer_states(decoded)
    theirs, looking = _original_states(original)
    errors = np.square(ours - theirs).mean(axis=(1, 2))
    found: dict[str, float | None] = {f"layer_{number}": float(e) for number, e in enumerate(errors)}
    return found | {"attention": attention_shift(looked, looking)}


def _count(original: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    truth, box = texts
    teacher = teacher_named(DEFAULT)
    seen = see(teacher, decoded)
    tokens = seen.levels["middle"][0].numpy().reshape(*seen.grid, -1)
    counted = count_like(tokens, [int(side) for side in box.split(",")], teacher.patch)
    return {"counted": float(counted), "exact": float(counted == int(truth))}


COUNT = Metric("count", ("counted", "exact"), (), _count, prepare=_prepare)
"""``counted``, by `count_like`, and ``exact``: 1 where that is the label's number. The texts of an image are
the number and the box of one object, as `cotam_lab.study.scenes.count_pack` writes them."""
