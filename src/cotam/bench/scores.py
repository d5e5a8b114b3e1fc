"""What the values in rows are called in tables, their units, and whether something was trained on them.

Knows names of values only: nothing of how they are measured or drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotam.errors import InputError

__all__ = ["SCORES", "Score", "score_named"]


@dataclass(frozen=True)
class Score:
    """A value that a judge gives; more is better in each.

    Attributes
    ----------
    name, unit : str
        As in tables.
    factor : float
        Brings the rows' value to the unit.
    noisy : bool
        Need not rise with the rate: curves are made monotone before rates are compared.
    """

    name: str
    unit: str
    factor: float = 1.0
    noisy: bool = False


SCORES = {
    "psnr": Score("PSNR", "dB"),
    "ms_ssim_db": Score("MS-SSIM", "dB"),
    "features": Score("features (teacher)", "dB"),
    "patch": Score("patch features (teacher)", "dB"),
    "shallow": Score("shallow features (teacher)", "dB"),
    "middle": Score("middle features (teacher)", "dB"),
    "late": Score("late features (teacher)", "dB"),
    "deep": Score("deep features (teacher)", "dB"),
    "whole": Score("final [CLS] (teacher)", "dB"),
    "attended": Score("attended features (teacher)", "dB"),
    "class": Score("class agreement", "%", 100.0, noisy=True),
    "class_overlap": Score("class overlap", "%", 100.0, noisy=True),
    "recall": Score("word accuracy", "%", 100.0, noisy=True),
    "precision": Score("word precision", "%", 100.0, noisy=True),
    "f1": Score("word F1", "%", 100.0, noisy=True),
}
"""By key in the rows. Of another teacher than the default, the key has ``@`` and its name behind."""


def score_named(key: str) -> Score:
    """The score of a key, such as ``psnr`` or ``deep@openai/clip-vit-large-patch14-336``.

    Raises
    ------
    InputError
        If no judge gives such a value.
    """
    base, _, teacher = key.partition("@")
    if base not in SCORES:
        raise InputError(f"unknown score {key!r}: choose from {', '.join(SCORES)}")
    score = SCORES[base]
    return replace(score, name=f"{score.name[:-1]} {teacher})") if teacher else score
