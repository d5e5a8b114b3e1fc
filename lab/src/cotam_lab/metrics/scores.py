"""Names and units of the scores in tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cotam.errors import InputError

__all__ = ["SCORES", "Score", "score_named"]


@dataclass(frozen=True)
class Score:
    """A score; more is better.

    ``about`` is a part of a sentence, ``factor`` brings the rows' value to ``unit``. ``noisy`` ones need not
    rise with the rate: curves are made monotone before rates are compared.
    """

    name: str
    unit: str
    about: str
    factor: float = 1.0
    noisy: bool = False


_DISTANCE = "−10 log10 of the mean squared difference of normalised tokens"
_TEACHER = "(codecs may be trained with this encoder)"

SCORES = {
    "psnr": Score("PSNR", "dB", "peak signal-to-noise ratio over 8-bit RGB"),
    "ms_ssim_db": Score("MS-SSIM", "dB", "multi-scale structural similarity, as −10 log10(1 − MS-SSIM)"),
    "features": Score(
        "features (teacher)",
        "dB",
        f"{_DISTANCE}, mean of the tokens after a quarter, a half, three quarters and all of the layers of a "
        f"vision encoder {_TEACHER}",
    ),
    "patch": Score("patch features (teacher)", "dB", f"{_DISTANCE}: patch embeddings {_TEACHER}"),
    "shallow": Score("shallow features (teacher)", "dB", f"{_DISTANCE}: after a quarter of the layers"),
    "middle": Score("middle features (teacher)", "dB", f"{_DISTANCE}: after half of the layers"),
    "late": Score("late features (teacher)", "dB", f"{_DISTANCE}: after three quarters of the layers"),
    "deep": Score("deep features (teacher)", "dB", f"{_DISTANCE}: after all of the layers"),
    "whole": Score("final [CLS] (teacher)", "dB", f"{_DISTANCE}: the final token of the whole"),
    "attended": Score(
        "attended features (teacher)", "dB", "as features, each token weighted by the encoder's own attention"
    ),
    "class": Score(
        "class agreement",
        "%",
        "share of images to which EfficientNet-Lite0, not used in training, gives the class of the original",
        100.0,
        noisy=True,
    ),
    "class_overlap": Score(
        "class overlap",
        "%",
        "share of EfficientNet-Lite0's probability that goes to the same classes as for the original",
        100.0,
        noisy=True,
    ),
    "recall": Score(
        "word accuracy", "%", "share of the labelled words that RapidOCR reads", 100.0, noisy=True
    ),
    "words_kept": Score(
        "words kept",
        "%",
        "share of the words that RapidOCR reads in the original that it reads in the copy, too",
        100.0,
        noisy=True,
    ),
    "tesseract_kept": Score(
        "words kept (Tesseract)",
        "%",
        "share of the words that Tesseract reads in the original that it reads in the copy, too",
        100.0,
        noisy=True,
    ),
    "contrast": Score(
        "contrast-weighted PSNR",
        "dB",
        "peak signal-to-noise ratio, blocks of 16×16 pixels weighted by the deviation of their luma",
    ),
    "balanced": Score(
        "balanced PSNR",
        "dB",
        "peak signal-to-noise ratio of contrast-weighted error and that of means of 8×8 pixels "
        "(`cotam.codec.contrast`)",
    ),
    "answers": Score(
        "answers",
        "%",
        "how right the answers of a multimodal LLM are, by the metric of each question",
        100.0,
        noisy=True,
    ),
    "precision": Score(
        "word precision", "%", "share of the words that RapidOCR reads that are labelled", 100.0, noisy=True
    ),
    "f1": Score("word F1", "%", "harmonic mean of word accuracy and word precision", 100.0, noisy=True),
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
