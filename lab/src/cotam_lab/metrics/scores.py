"""Names and units of the scores in tables; lab/docs/bench.md says what they measure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotam.errors import InputError

__all__ = ["SCORES", "Score", "score_named"]


@dataclass(frozen=True)
class Score:
    """A score; more is better.

    ``factor`` brings the rows' value to ``unit``. ``noisy`` ones need not rise with the rate: curves are made
    monotone before rates are compared.
    """

    name: str
    unit: str = "dB"
    factor: float = 1.0
    noisy: bool = False


def _share(name: str) -> Score:
    """A share of images or words, in per cent."""
    return Score(name, "%", 100.0, noisy=True)


SCORES = {
    "psnr": Score("PSNR"),
    "ms_ssim_db": Score("MS-SSIM"),
    "features": Score("features (teacher)"),
    "patch": Score("patch features (teacher)"),
    "shallow": Score("shallow features (teacher)"),
    "middle": Score("middle features (teacher)"),
    "late": Score("late features (teacher)"),
    "deep": Score("deep features (teacher)"),
    "whole": Score("final [CLS] (teacher)"),
    "attended": Score("attended features (teacher)"),
    "class": _share("class agreement"),
    "class_overlap": _share("class overlap"),
    "recall": _share("word accuracy"),
    "words_kept": _share("words kept"),
    "tesseract_kept": _share("words kept (Tesseract)"),
    "contrast": Score("contrast-weighted PSNR"),
    "balanced": Score("balanced PSNR"),
    "answers": _share("answers"),
    "precision": _share("word precision"),
    "f1": _share("word F1"),
}
"""By key in the rows. With another encoder than the default, ``@NAME`` is appended to the key."""


def score_named(key: str) -> Score:
    """Return the score of a key such as ``psnr`` or ``deep@openai/clip-vit-large-patch14-336``.

    Raises InputError if there is no such score.
    """
    base, _, teacher = key.partition("@")
    if base not in SCORES:
        raise InputError(f"unknown score {key!r}: choose from {', '.join(SCORES)}")
    score = SCORES[base]
    return replace(score, name=f"{score.name[:-1]} {teacher})") if teacher else score
