"""What the study measures of a decoded picture: an encoder's layers, its attention, and counting.

Knows pictures and a teacher: nothing of codecs. Counting needs no language: shown the box of one thing, how
many like it are there?
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import label

from cotam.image.read import Pixels
from cotam_lab.metrics.features import DEFAULT, see, teacher_named
from cotam_lab.metrics.pictures import Judge, check_sizes, of_last_picture

__all__ = ["COUNT", "LAYERS", "attention_shift", "count_like", "layers_judge"]

LAYERS = 12
"""Of the default teacher."""


def layers_judge() -> Judge:
    """Distance after each layer, and how far the attention has moved, for the default teacher.

    Values ``layer_0`` (patch embeddings) … ``layer_12``: mean squared difference of normalised tokens, so
    less is better, unlike in the bench; ``attention``: `attention_shift`, mean over the layers.
    """
    keys = (*(f"layer_{number}" for number in range(LAYERS + 1)), "attention")
    return Judge("layers", keys, (), _layers, prepare=_prepare)


def attention_shift(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of the attention that looks elsewhere: half the sum of absolute differences, 0…1, mean over rows.

    Parameters
    ----------
    ours, theirs : ndarray
        (layers, tokens), each row sums to 1.
    """
    return float(0.5 * np.abs(ours - theirs).sum(axis=1).mean())


def count_like(tokens: np.ndarray, box: Sequence[int], patch: int) -> int:
    """How many things look like the one in a box.

    The mean token within the box is compared with all by cosine; what is more than 0.6 of the way from the
    picture's median likeness to the box's own stands out, and its connected parts of at least a quarter of
    the box's area are counted. Both numbers were chosen on 18 scenes of seed 0, which the study does not use.

    Parameters
    ----------
    tokens : ndarray
        (rows, columns, channels) of mean 0 over channels.
    box : sequence of int
        Left, top, right, bottom in pixels of the picture that the tokens stand for.
    patch : int
        Pixels a side of a token.
    """
    unit = tokens / np.linalg.norm(tokens, axis=2, keepdims=True)
    left, top, right, bottom = (side / patch for side in box)
    rows = slice(round(top + 0.4), max(round(bottom - 0.4), round(top + 0.4) + 1))
    columns = slice(round(left + 0.4), max(round(right - 0.4), round(left + 0.4) + 1))
    middle = unit[rows, columns].mean(axis=(0, 1))
    likeness = unit @ (middle / np.linalg.norm(middle))
    own, usual = float(np.median(likeness[rows, columns])), float(np.median(likeness))
    stands_out = likeness > usual + 0.6 * (own - usual)
    parts, number = label(stands_out)
    areas = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return int((areas >= area / 4).sum())


def _prepare() -> object:
    return teacher_named(DEFAULT)


def _layer_states(picture: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Normalised tokens after each layer, (layers + 1, tokens, channels); attention, (layers, tokens)."""
    import torch
    import torch.nn.functional as F

    teacher = teacher_named(DEFAULT)
    batch = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        fitted = (teacher.fit(batch, teacher.side) - teacher.mean) / teacher.std
        seen = teacher.model(fitted, output_hidden_states=True, output_attentions=True)
        states = torch.cat(seen.hidden_states)[:, teacher.prefix :]
        attention = torch.cat([a[:, :, 0, teacher.prefix :].mean(1) for a in seen.attentions])
        tokens = F.layer_norm(states, states.shape[-1:])
        return tokens.numpy(), (attention / attention.sum(1, keepdim=True)).numpy()


_original_states = of_last_picture(_layer_states)


def _layers(picture: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    check_sizes(picture, decoded)
    ours, looked = _layer_states(decoded)
    theirs, looking = _original_states(picture)
    errors = np.square(ours - theirs).mean(axis=(1, 2))
    found: dict[str, float | None] = {f"layer_{number}": float(e) for number, e in enumerate(errors)}
    return found | {"attention": attention_shift(looked, looking)}


def _count(picture: Pixels, decoded: Pixels, texts: Sequence[str]) -> dict[str, float | None]:
    check_sizes(picture, decoded)
    truth, box = texts
    teacher = teacher_named(DEFAULT)
    seen = see(teacher, decoded)
    tokens = seen.levels["middle"][0].numpy().reshape(*seen.grid, -1)
    counted = count_like(tokens, [int(side) for side in box.split(",")], teacher.patch)
    return {"counted": float(counted), "exact": float(counted == int(truth))}


COUNT = Judge("count", ("counted", "exact"), (), _count, prepare=_prepare)
"""``counted``, by `count_like`, and ``exact``: 1 where that is the label's number. The picture's texts are
the number and the box of one thing, as `cotam_lab.study.scenes.count_pack` writes them."""
